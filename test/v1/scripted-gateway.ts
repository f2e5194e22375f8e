import type {
  AccessCheck,
  Gateway,
  GatewayAccountAccess,
  IdentityAnswer,
  LookAnswer,
  PaymentAnswer,
  WebhookReading,
} from '../../src/gateways/gateway.ts';
import { modelGateway } from '../juspay/model-gateway.ts';

/** A gateway with an account form, that answers looks and webhooks as the test tells it. */
export class ScriptedGateway {
  look: LookAnswer = { kind: 'no_answer', why: 'nothing was scripted', answered: false, evidence: {} };
  access: (access: GatewayAccountAccess) => AccessCheck = () => ({
    tried: 'nothing',
    answer: { kind: 'no_answer', why: 'nothing was scripted', answered: false, evidence: {} },
  });
  identity: (access: GatewayAccountAccess) => IdentityAnswer = () => ({
    kind: 'not_told',
    why: 'nothing was scripted',
  });
  payment: (...asked: Parameters<NonNullable<Gateway['findPayment']>>) => PaymentAnswer = () => ({
    kind: 'known',
    evidence: {},
  });
  readWebhook: Gateway['readWebhook'] = (): WebhookReading => ({
    kind: 'rejected',
    why: 'nothing was scripted',
  });

  readonly gateway: Gateway = {
    ...modelGateway,
    name: 'SCRIPTED',
    label: 'Scripted PG',
    gatewayId: 78,
    defaultBaseUrl: 'https://api.scripted.test/v1',
    otherHosts: ['eu.api.scripted.test'],
    credentialFields: [
      {
        name: 'secret_key',
        label: 'Secret key',
        secret: true,
        required: true,
        pattern: 'sk_[a-z0-9]{4,40}',
        help: 'sk_ and letters or digits',
      },
      { name: 'merchant_code', label: 'Merchant code', secret: false, required: true, help: 'Your code' },
      {
        name: 'webhook_secret',
        label: 'Webhook secret',
        secret: true,
        required: false,
        provesWebhooksOnly: true,
        help: 'Any text',
      },
    ],
    capabilities: { ...modelGateway.capabilities, maxConcurrent: 7, maxPerSecond: 40 },
    fetchRefund: async () => this.look,
    checkAccess: async (access) => this.access(access),
    findPayment: async (...asked) => this.payment(...asked),
    identify: async (access) => this.identity(access),
    readWebhook: (webhook, access) => this.readWebhook(webhook, access),
  };
}
