-- The bounds of schemas/bounds.ts, for all writers. Read
-- docs/decisions/0036-the-tables-bound-what-they-hold.md first. Only what a statement changes is checked, so
-- that a row from before this migration can still be archived, or changed otherwise.

-- Returns the length of a JSON value in bytes, without the blanks that PostgreSQL prints after colons and
-- commas.
create function compact_length(value jsonb) returns integer
language sql immutable strict parallel safe
return octet_length(regexp_replace(value::text, '("(?:[^"\\]|\\.)*")|([:,]) ', '\1\2', 'g'));

-- Whether properties are too large. Blanks make them longer by at most half, so the exact length, which is
-- expensive, is rarely needed.
create function exceeds_bound(properties jsonb) returns boolean
language sql immutable strict parallel safe set search_path from current
as $$
  select case when octet_length(properties::text) <= 65536 then false
              when octet_length(properties::text) > 131072 then true
              else compact_length(properties) > 65536
         end
$$;

create function refuse_length(field text, bound integer) returns void
language plpgsql
as $$
begin
  raise exception '% is larger than %', field, bound
    using errcode = 'check_violation', column = field,
          hint = 'characters of a text, bytes of properties as JSON; see docs/SPECIFICATION.md';
end
$$;

create function items_within_bounds() returns trigger
language plpgsql set search_path from current
as $$
declare
  created boolean := tg_op = 'INSERT';
begin
  if char_length(new.description) > 2000 and (created or new.description is distinct from old.description) then
    perform refuse_length('description', 2000);
  end if;
  if char_length(new.long_description) > 65536 and (created or new.long_description is distinct from old.long_description) then
    perform refuse_length('long_description', 65536);
  end if;
  if char_length(new.comment) > 4000 and (created or new.comment is distinct from old.comment) then
    perform refuse_length('comment', 4000);
  end if;
  if exceeds_bound(new.properties) and (created or new.properties is distinct from old.properties) then
    perform refuse_length('properties', 65536);
  end if;
  return new;
end
$$;

-- Named to run after the triggers that normalise texts and set the comment. The conditions compare bytes,
-- which are known without reading the text: it never has more characters than bytes.
create trigger items_within_bounds before insert or update on items
  for each row when (
    octet_length(new.description) > 2000
    or octet_length(new.long_description) > 65536
    or octet_length(new.comment) > 4000
    or octet_length(new.properties::text) > 65536
  )
  execute function items_within_bounds();

-- Refuses a text that is far too long before any other trigger runs, because normalising it takes several
-- times its size in memory. NFC composes at most four characters into one, and a character has at most four
-- bytes: a text of so many bytes has too many characters in any form.
create trigger items_are_bounded before insert or update on items
  for each row when (
    octet_length(new.description) > 32 * 2000
    or octet_length(new.long_description) > 32 * 65536
    or octet_length(new.comment) > 32 * 4000
    or pg_column_size(new.properties) > 32 * 65536
  )
  execute function items_within_bounds();

create function users_within_bounds() returns trigger
language plpgsql set search_path from current
as $$
begin
  if tg_op = 'INSERT' or new.display_name is distinct from old.display_name then
    perform refuse_length('display_name', 200);
  end if;
  return new;
end
$$;

create trigger users_within_bounds before insert or update on users
  for each row when (char_length(new.display_name) > 200) execute function users_within_bounds();

create function tokens_within_bounds() returns trigger
language plpgsql set search_path from current
as $$
begin
  if tg_op = 'INSERT' or new.name is distinct from old.name then
    perform refuse_length('name', 200);
  end if;
  return new;
end
$$;

create trigger tokens_within_bounds before insert or update on tokens
  for each row when (char_length(new.name) > 200) execute function tokens_within_bounds();

create function categories_within_bounds() returns trigger
language plpgsql set search_path from current
as $$
begin
  if tg_op = 'INSERT' or new.category <> old.category or new.prefix <> old.prefix then
    perform refuse_length('category', 32);
  end if;
  return new;
end
$$;

create trigger categories_within_bounds before insert or update on categories
  for each row when (char_length(new.category) > 32 or char_length(new.prefix) > 32)
  execute function categories_within_bounds();
