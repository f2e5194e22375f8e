import { doNextStep } from '../../src/batches/worker.ts';
import { type Answer, type Call, call, type TestApi } from '../support/api.ts';

export const HEADER = 'order_id,unique_request_id,amount,currency,note';

/** A file of refunds out of its rows. */
export function csv(rows: readonly string[], header = HEADER): string {
  return `${[header, ...rows].join('\n')}\n`;
}

/** Uploads a file by the API, and does all steps that are due. */
export async function upload(
  api: TestApi,
  file: string | Buffer,
  query = '',
  options: Partial<Call> = {},
): Promise<Answer> {
  const answer = await call(api, `/v1/batches?name=test${query}`, {
    ...options,
    body: file,
    headers: { 'content-type': 'text/csv', ...options.headers },
  });
  await steps(api);
  return answer.status === 201 ? get(api, answer.body.batch_id) : answer;
}

/** Corrected rows for a batch. */
export async function correct(api: TestApi, batchId: string, file: string): Promise<Answer> {
  const answer = await call(api, `/v1/batches/${batchId}/rows`, {
    method: 'PUT',
    body: file,
    headers: { 'content-type': 'text/csv' },
  });
  await steps(api);
  return answer.status === 202 ? get(api, batchId) : answer;
}

/** Does what a worker would do until nothing is due. */
export async function steps(api: TestApi): Promise<void> {
  while (await doNextStep(api.batches));
}

export async function get(api: TestApi, batchId: string): Promise<Answer> {
  return call(api, `/v1/batches/${batchId}`);
}

export async function rowsOf(api: TestApi, batchId: string, query = ''): Promise<Answer['body'][]> {
  const answer = await call(api, `/v1/batches/${batchId}/rows?limit=500${query}`);
  return answer.body.rows;
}

/** Something done to a batch, and what was due then. */
export async function post(
  api: TestApi,
  batchId: string,
  verb: string,
  json: object = {},
  options: Partial<Call> = {},
): Promise<Answer> {
  const answer = await call(api, `/v1/batches/${batchId}/${verb}`, { ...options, json });
  await steps(api);
  return answer;
}
