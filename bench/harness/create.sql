-- As store/items.ts creates an item. The number is one that nobody has drawn before, as good as certainly.
\set n random(1, 1000000000000)
with context as materialized (
  select set_config('silo.actor', 'bench', true),
         set_config('silo.comment', '', true),
         set_config('silo.writer', 'api', true)
)
insert into items (part_number, item_type, description, long_description, sourcing_type, properties)
select 'B-' || :n, 'part', 'Hexagon socket head cap screw, M6 x 20, steel 8.8, zinc plated', '', null,
       '{"standard":"ISO 4762","mass_g":7}'
  from context
returning id, part_number, item_type, description, long_description, sourcing_type, properties,
          revision, created_at, created_by, updated_at, updated_by;
