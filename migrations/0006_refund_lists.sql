-- Lists of refunds, newest first: an index for every filter, most of them in the list's order.
drop index refunds_by_time;
create index refunds_by_time on refunds (merchant_id, created_at desc, refund_id desc);
create index refunds_by_state on refunds (merchant_id, state, created_at desc, refund_id desc);
create index refunds_by_account on refunds (merchant_id, gateway_account_id, created_at desc, refund_id desc);
create index refunds_by_request on refunds (merchant_id, unique_request_id);
create index refunds_by_arn on refunds (merchant_id, arn) where arn is not null;

-- Asked for by people of a merchant, and by webhooks of an account, which names its merchant as well.
drop index refunds_by_gateway_id;
create index refunds_by_gateway_id on refunds (merchant_id, gateway_refund_id)
  where gateway_refund_id is not null;
