-- Creates one item, with the statement of store/creation.ts. The range of n makes a number that exists
-- unlikely.
\set n random(1, 1000000000000)
with context as materialized (
  select case when holder.username is null then refuse_right(:token::uuid)::text
              else set_config('silo.actor', holder.username, true)
         end,
         set_config('silo.comment', '', true),
         set_config('silo.writer', 'api', true),
         set_config('silo.token', :token::uuid::text, true),
         set_config('silo.role', 'editor', true),
         set_config('silo.checked', '0', true),
         set_config('lock_timeout', '100', true)
    from (values (true)) as one
    left join (
         select u.username
           from tokens t
           join users u on u.id = t.user_id
          where t.id = :token::uuid
            and t.revoked_at is null
            and t.expires_at > clock_timestamp()
            and u.active
            and role_rank('editor') <= least(role_rank(t.role), role_rank(u.role))
         ) holder on true
),
given as materialized (
  select *
    from json_to_recordset((
           '[{"part_number":"B-' || :n || '",' ||
           '"description":"Hexagon socket head cap screw, M6 x 20, steel 8.8, zinc plated",' ||
           '"properties":{"standard":"ISO 4762","mass_g":7},"id":"' || gen_random_uuid() || '"}]'
         )::json) as given (
           id uuid, part_number text, category text, item_type text, description text, long_description text,
           sourcing_type text, properties jsonb
         )
)
insert into items (id, part_number, item_type, description, long_description, sourcing_type, properties)
select id, coalesce(part_number, next_part_number(category)), coalesce(item_type, 'part'),
       coalesce(description, ''), coalesce(long_description, ''), sourcing_type, coalesce(properties, '{}')
  from context, given
 order by category nulls first, lower(part_number)
    on conflict (lower(part_number)) do nothing
returning id, part_number, item_type, description, long_description, sourcing_type, properties,
          revision, created_at, created_by, updated_at, updated_by;
