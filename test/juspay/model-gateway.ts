import type { Gateway } from '../../src/gateways/gateway.ts';

const unused = () => {
  throw new Error('no worker runs in these tests');
};

/** A gateway that exists by name only: refunds are recorded for it and stay where they are. */
export const modelGateway: Gateway = {
  name: 'MODEL',
  label: 'Model',
  gatewayId: 77,
  defaultBaseUrl: 'https://gateway.test',
  docsUrl: null,
  movesRealMoney: true,
  credentialFields: [],
  capabilities: {
    partialRefunds: true,
    instantRefunds: false,
    keyLifeMs: null,
    absenceProof: null,
    pollDelaysMs: [1_000],
    recheckDelaysMs: [],
    lookDelaysMs: [1_000],
    resendDelaysMs: [1_000],
    maxSends: 1,
    webhookProof: 'none',
    maxConcurrent: 1,
    maxPerSecond: 1,
  },
  prepareRefund: unused,
  createRefund: unused,
  fetchRefund: unused,
  findRefunds: unused,
  checkAccess: unused,
  identify: async () => ({ kind: 'not_told', why: 'it exists by name only' }),
  readWebhook: unused,
};
