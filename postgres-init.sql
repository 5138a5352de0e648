-- Run once by the image of PostgreSQL, as its superuser, when the volume is empty: Silo gets a role that owns
-- its database and nothing else. Afterwards the superuser has no password: it signs in by the socket inside
-- the container only.
\set ON_ERROR_STOP on
\getenv password POSTGRES_PASSWORD
create role silo login password :'password';
create database silo owner silo;
alter role current_user password null;
