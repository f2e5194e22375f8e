import { createHmac } from 'node:crypto';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import { expect, test } from 'vitest';
import { basicAuthorization, newSigningSecret, signatureHeaders } from '../../src/webhooks/sign.ts';

const ID = 'evt_V2_0123456789abcdef0123456789abcdef';
const BODY = '{"id":"x","note":"₹ 1.00"}';

test('the signature is what the specification describes, computed here without its library', () => {
  const secret = newSigningSecret();
  const at = new Date(1_674_087_231_999);
  const headers = signatureHeaders([secret], ID, at, BODY);
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  expect(key).toHaveLength(32);
  expect(headers).toEqual({
    'webhook-id': ID,
    'webhook-timestamp': '1674087231',
    'webhook-signature': `v1,${createHmac('sha256', key).update(`${ID}.1674087231.${BODY}`).digest('base64')}`,
  });
});

test('with two secrets either of them verifies, and no other', () => {
  const [next, previous, stranger] = [newSigningSecret(), newSigningSecret(), newSigningSecret()];
  const headers = signatureHeaders([next, previous], ID, new Date(), BODY);
  expect(new Webhook(next).verify(BODY, headers)).toEqual(JSON.parse(BODY));
  expect(new Webhook(previous).verify(BODY, headers)).toEqual(JSON.parse(BODY));
  expect(() => new Webhook(stranger).verify(BODY, headers)).toThrow(WebhookVerificationError);
  expect(() => new Webhook(next).verify(`${BODY} `, headers)).toThrow(WebhookVerificationError);
});

test('the example of RFC 7617', () => {
  expect(basicAuthorization('Aladdin', 'open sesame')).toBe('Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==');
  expect(basicAuthorization('test', '123£')).toBe('Basic dGVzdDoxMjPCow==');
});
