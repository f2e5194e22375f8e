-- What becomes of the rows of one order when they are sent one after the other: each takes what it asks for (null: all
-- that is left) of the payment that it names, or else of the first that has so much left, as record_refunds does it.
-- State: how many rows have been taken; the payment of the last row; what that row took, or else why it took nothing;
-- and what all rows together have taken of each payment.
--   refunds: that the order had before; rests, wholes, parts, instants: of each payment, what is left, what was paid, and
--   whether its gateway can do partial and instant refunds; olds: whether it makes none of it any more
create or replace function take_in_turn(state bigint[], refunds bigint, most integer, rests bigint[], wholes bigint[], parts boolean[],
                                        instants boolean[], olds boolean[], named integer, asked bigint, instant boolean)
returns bigint[] immutable language plpgsql as $$
declare
  v_pick integer := coalesce(named, 1);
  v_takes bigint;
begin
  if state is null then
    state := array_fill(0::bigint, array[3 + cardinality(rests)]);
  end if;
  if named is null then
    for n in 1 .. cardinality(rests) loop
      if rests[n] - state[3 + n] >= greatest(coalesce(asked, 1), 1) then
        v_pick := n;
        exit;
      end if;
    end loop;
  end if;
  v_takes := coalesce(asked, rests[v_pick] - state[3 + v_pick]);
  state[2] := v_pick;
  state[3] := case
    when refunds + state[1] >= most then -1
    when v_takes < 1 or v_takes > rests[v_pick] - state[3 + v_pick] then -2
    when instant and not instants[v_pick] then -3
    when v_takes < wholes[v_pick] and not parts[v_pick] then -4
    when olds[v_pick] then -5
    else v_takes end;
  if state[3] > 0 then
    state[1] := state[1] + 1;
    state[3 + v_pick] := state[3 + v_pick] + v_takes;
  end if;
  return state;
end $$;
create or replace aggregate taken_in_turn(refunds bigint, most integer, rests bigint[], wholes bigint[], parts boolean[],
                                          instants boolean[], olds boolean[], named integer, asked bigint, instant boolean)
  (sfunc = take_in_turn, stype = bigint[]);
