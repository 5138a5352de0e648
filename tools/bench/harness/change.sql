-- Changes the description of an item, with the statement of store/items.ts.
\set n random(0, 9999)
\set mass random(1, 1000000000)
with context as materialized (
  select case when holder.username is null then refuse_right(:token::uuid)::text
              else set_config('silo.actor', holder.username, true)
         end,
         set_config('silo.comment', '', true),
         set_config('silo.writer', 'api', true),
         set_config('silo.token', :token::uuid::text, true),
         set_config('silo.role', 'editor', true),
         set_config('silo.checked', '0', true),
         set_config('lock_timeout', '7000', true)
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
target as materialized (
  select items.*, true as matches
    from context, items
   where lower(part_number) = lower(('P-' || lpad(:n::text, 7, '0')) collate "C")
     for update of items
),
written as (
  update items
     set description = 'Hexagon socket head cap screw, lot ' || :mass
    from context, target
   where items.id = target.id
     and target.archived_at is null
     and target.matches
  returning items.*
)
select 'written' as outcome, id, part_number, item_type, description, long_description, sourcing_type,
       properties, revision, created_at, created_by, updated_at, updated_by
  from written
 union all
select case when archived_at is not null then 'archived'
            when not matches then 'mismatch'
            else 'unchanged'
       end as outcome, id, part_number, item_type, description, long_description, sourcing_type, properties,
       revision, created_at, created_by, updated_at, updated_by
  from target
 where not exists (select from written);
