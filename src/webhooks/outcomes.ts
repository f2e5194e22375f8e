/** How far a delivery has come. */
export const DELIVERY_STATES = ['pending', 'delivered', 'given_up'] as const;

export type DeliveryState = (typeof DELIVERY_STATES)[number];

/** What one try came to. Only `acknowledged` ends the tries with success. */
export const TRY_OUTCOMES = {
  acknowledged: 'It answered with status 200.',
  refused_status: 'It answered with a status other than 200.',
  redirect: 'It answered with a redirect; redirects are not followed.',
  timeout: 'It did not answer in time.',
  connection_refused: 'Nothing accepts connections there.',
  connection_lost: 'The connection broke before the answer was complete.',
  dns: 'The name of the host could not be resolved.',
  tls: 'No trusted TLS connection could be made.',
  private_address: 'The address is not on the public internet, and private ones are not allowed.',
  bad_url: 'The URL cannot be used; it is not tried again.',
  network: 'The network failed in another way; the detail says how.',
} as const;

export type TryOutcome = keyof typeof TRY_OUTCOMES;

/** Why a delivery was given up although its tries were not used up. */
export const GIVEN_UP_BECAUSE = {
  endpoint_removed: 'Its endpoint was removed.',
  endpoint_disabled: 'Its endpoint is switched off.',
  order_missing: 'The order no longer exists.',
  batch_missing: 'The batch no longer exists.',
} as const;

export type GivenUpBecause = keyof typeof GIVEN_UP_BECAUSE;

/** What stands in answers in place of a secret. */
export const MASK = '********';
