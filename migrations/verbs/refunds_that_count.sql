-- How many refunds of an order count against the most that it may have: those that hold their amount or have paid it. Tries
-- that came to nothing count only where there are very many, so that a wrong setting closes no order for good.
create or replace function refunds_that_count(held bigint, tries bigint, most integer, most_tries integer) returns bigint
immutable language sql
  return greatest(held, tries - (most_tries - most));
