-- Each text has one form: it is stored in NFC, and searched in NFKC with case folded. Read
-- docs/decisions/0027-one-form-of-text.md first.

-- Returns the form in which a text is searched. The collation that folds case is fixed, so that a cluster of
-- locale C finds the same as any other: ICU's if the server has it, otherwise PostgreSQL's own (17 and
-- later).
do $$
declare
  casing text := (
    select collname
      from pg_collation
     where collnamespace = 'pg_catalog'::regnamespace
       and collname in ('und-x-icu', 'pg_c_utf8')
     order by collname desc
     limit 1
  );
begin
  execute format($create$
    create function search_form(value text) returns text
    language sql immutable strict parallel safe
    -- In ASCII only the case can differ.
    return case when octet_length(value) = char_length(value) then lower(value collate "C")
                else replace(replace(
                       lower(replace(normalize(value, NFKC), 'İ', U&'i\0307') collate pg_catalog.%I),
                     'ß', 'ss'), 'ς', 'σ') collate "C"
           end
  $create$, coalesce(casing, 'default'));
end
$$;

-- Stored, because every search compares it with each of its words, and it is expensive to compute. Generated
-- columns are computed after the triggers, so from the normalised text.
alter table items add column search_text text collate "C" not null
  generated always as (search_form(part_number || ' ' || description)) stored;

-- A GIN index collects new entries in a pending list, which every search scans. With the default of 4 MB the
-- planner prefers to scan all items after some thousand changes; without a pending list, writers are much
-- slower.
drop index items_search;
create index items_search on items using gin (search_text gin_trgm_ops) with (gin_pending_list_limit = 256);

-- Returns the value with its texts and names in NFC. Names that become the same are refused, like a name that
-- is given twice.
create function json_in_nfc(value jsonb) returns jsonb
language plpgsql immutable strict set search_path from current
as $$
declare
  result jsonb;
begin
  case jsonb_typeof(value)
    when 'string' then
      return to_jsonb(normalize(value #>> '{}', NFC));
    when 'array' then
      select coalesce(jsonb_agg(json_in_nfc(element) order by index), '[]')
        into result
        from jsonb_array_elements(value) with ordinality as elements (element, index);
      return result;
    when 'object' then
      select coalesce(jsonb_object_agg(normalize(key, NFC), json_in_nfc(inner_value)), '{}')
        into result
        from jsonb_each(value) as members (key, inner_value);
      if (select count(*) from jsonb_object_keys(result)) < (select count(*) from jsonb_object_keys(value)) then
        raise exception 'two names of % differ only in their Unicode form', left(value::text, 200)
          using errcode = 'integrity_constraint_violation';
      end if;
      return result;
    else
      return value;
  end case;
end
$$;

-- Normalises only what a statement changes, so that an item from before this migration gets no revision for
-- its form alone.
create function items_in_nfc() returns trigger
language plpgsql set search_path from current
as $$
begin
  if tg_op = 'INSERT' or new.description is distinct from old.description then
    new.description := normalize(new.description, NFC);
  end if;
  if tg_op = 'INSERT' or new.long_description is distinct from old.long_description then
    new.long_description := normalize(new.long_description, NFC);
  end if;
  if tg_op = 'INSERT' or new.properties is distinct from old.properties then
    new.properties := json_in_nfc(new.properties);
  end if;
  return new;
end
$$;

-- Triggers of one kind run in the order of their names: these run before `items_before_insert` and
-- `items_before_update`, which compare the content. Their conditions are cheaper than a call.
create trigger items_are_in_nfc_insert before insert on items
  for each row when (
    new.description is not nfc normalized
    or new.long_description is not nfc normalized
    or new.properties::text is not nfc normalized
  )
  execute function items_in_nfc();
create trigger items_are_in_nfc_update before update on items
  for each row when (
    new.description is not nfc normalized
    or new.long_description is not nfc normalized
    or new.properties::text is not nfc normalized
  )
  execute function items_in_nfc();

-- `items_before_insert` and `items_before_update` take the comment from the transaction's settings. This
-- trigger runs after them.
create function items_comment_in_nfc() returns trigger
language plpgsql
as $$
begin
  new.comment := normalize(new.comment, NFC);
  return new;
end
$$;

create trigger items_comment_in_nfc before insert or update on items
  for each row when (new.comment is not nfc normalized) execute function items_comment_in_nfc();

create function users_in_nfc() returns trigger
language plpgsql
as $$
begin
  new.display_name := normalize(new.display_name, NFC);
  return new;
end
$$;

create trigger users_in_nfc before insert or update of display_name on users
  for each row when (new.display_name is not nfc normalized) execute function users_in_nfc();

create function tokens_in_nfc() returns trigger
language plpgsql
as $$
begin
  new.name := normalize(new.name, NFC);
  return new;
end
$$;

create trigger tokens_in_nfc before insert or update of name on tokens
  for each row when (new.name is not nfc normalized) execute function tokens_in_nfc();
