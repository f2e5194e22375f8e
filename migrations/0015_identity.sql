lock table gateway_accounts, gateway_health in access exclusive mode;

-- Whose books the credentials of an account open, as the gateway told it: "acct_1A2b live". Null while it has not told;
-- then a fingerprint of the host and the credentials stands for it, which is made when needed and never stored.
alter table gateway_accounts add column identity text check (length(identity) between 1 and 200);
-- When the gateway was last asked for it.
alter table gateway_accounts add column identity_asked_at timestamptz;

-- Refunds in a row that the gateway refused for one and the same reason, and that reason's code.
alter table gateway_health add column refusals_in_a_row integer not null default 0;
alter table gateway_health add column refusal_code text;
-- When the row of them last became longer, from where on the account rests; and what was said.
alter table gateway_health add column refused_alike_at timestamptz;
alter table gateway_health add column refused_alike_why text;

-- When a webhook to the account's address was last proved to be the gateway's; written once an hour at the most.
alter table gateway_health add column webhooks_heard_at timestamptz;
-- When a webhook to the account's address was last rejected, and why; written once a minute at the most.
alter table gateway_health add column webhooks_rejected_at timestamptz;
alter table gateway_health add column webhooks_rejected_why text;
-- When its refunds were last looked at because of that.
alter table gateway_health add column webhook_trouble_taken_at timestamptz;
