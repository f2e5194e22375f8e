import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { registryOf } from '../../src/gateways/registry.ts';
import { absent, ModelGateway, news, until } from '../refunds/model.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { putOrder } from '../support/engine.ts';
import { csv, get, post, rowsOf, steps, upload } from './batch.ts';

let api: TestApi;
const ids: string[] = [];
beforeEach(async () => {
  api = await startApi();
  ids.length = 0;
  for (let n = 0; n < 4; n++) {
    await putOrder(api.db, { orderId: `o${n}`, amountMinor: 10_000 });
    const made = await call(api, '/v1/refunds', {
      json: { order_id: `o${n}`, unique_request_id: `r${n}`, amount: '10.00' },
    });
    ids.push(made.body.refund_id);
  }
  // As people find them after the limit: nothing has been heard of the first three.
  await api.db.query(
    `update refunds set state = 'manual_review', event_seq = event_seq + 1 where refund_id = any($1::uuid[])`,
    [ids.slice(0, 3)],
  );
  await api.db.query(`update orders set event_seq = event_seq + 1 where order_id = any('{o0,o1,o2}')`);
});
afterEach(() => api.close());

/** The same, with a gateway that answers as the test tells it. */
function withModel() {
  const model = new ModelGateway();
  const engine = { ...api.batches.engine, gateways: registryOf([model.gateway]) };
  return { model, api: { ...api, batches: { ...api.batches, engine } } };
}

const HEADER = 'refund_id,order_id,unique_request_id,status,arn,evidence';
const PROOF = 'Statement of the bank of 3 March (line 7)';

describe('a file of outcomes', () => {
  test('settles refunds in manual review, with the trail of each, and no others', async () => {
    const { body: batch } = await upload(
      api,
      csv(
        [
          `${ids[0]},,,SUCCESS,74332745678901234567890,${PROOF}`,
          `,o1,r1,FAILURE,,${PROOF}`,
          `${ids[3]},,,SUCCESS,,${PROOF}`,
          `${ids[0]},,,FAILURE,,${PROOF}`,
          `,o9,r9,SUCCESS,,${PROOF}`,
          `${ids[2]},,,MAYBE,,${PROOF}`,
          `${ids[2]},,,SUCCESS,,short`,
        ],
        HEADER,
      ),
      '&kind=status_updates',
    );
    expect(batch).toMatchObject({
      status: 'checked',
      rows: { total: 7, good: 2, bad: 5 },
      check: { confirmable_rows: 2 },
    });
    const problems = (await rowsOf(api, batch.batch_id)).map(({ problem }) => problem?.code ?? null);
    expect(problems).toEqual([
      null,
      null,
      'not_in_review',
      'duplicate_in_file',
      'refund_not_found',
      'bad_status',
      'too_short',
    ]);
    expect((await post(api, batch.batch_id, 'confirm', { rows: 3 })).body.error.code).toBe('other_totals');
    expect((await post(api, batch.batch_id, 'confirm', { rows: 2 })).status).toBe(200);

    const states = await api.db.query('select order_id, state, arn from refunds order by order_id');
    expect(states).toEqual([
      { order_id: 'o0', state: 'succeeded', arn: '74332745678901234567890' },
      { order_id: 'o1', state: 'failed', arn: null },
      { order_id: 'o2', state: 'manual_review', arn: null },
      { order_id: 'o3', state: 'queued', arn: null },
    ]);
    const refund = (await call(api, `/v1/refunds/${ids[0]}`)).body;
    expect(refund.events.at(-1).cause).toMatchObject({
      by: 'batch',
      batch_id: batch.batch_id,
      row: 1,
      confirmed_by: 'test',
    });
    expect(JSON.stringify(refund.events.at(-1).evidence)).toContain(PROOF);
    expect((await get(api, batch.batch_id)).body).toMatchObject({
      status: 'finished',
      rows: { made: 2, refused: 0, left: 0, not_sent: 5 },
    });
    const rows = await rowsOf(api, batch.batch_id);
    expect(rows.slice(0, 2).map(({ state, refund }) => [state, refund.status])).toEqual([
      ['made', 'SUCCESS'],
      ['made', 'FAILURE'],
    ]);
  });

  test('a refund that somebody settled in between keeps what they said', async () => {
    const { body: batch } = await upload(
      api,
      csv([`${ids[0]},,,SUCCESS,,${PROOF}`], HEADER),
      '&kind=status_updates',
    );
    const by = { outcome: 'failed', evidence: 'The gateway says on the phone that it was not made.' };
    expect((await call(api, `/v1/refunds/${ids[0]}/resolve`, { json: by })).status).toBe(200);
    await post(api, batch.batch_id, 'confirm', { rows: 1 });
    const [row] = await rowsOf(api, batch.batch_id);
    expect(row).toMatchObject({ state: 'refused', problem: { code: 'not_in_review' } });
    expect((await call(api, `/v1/refunds/${ids[0]}`)).body.state).toBe('failed');
  });

  test('waits, in the order of its rows, for a gateway that will only say later what became of a refund', async () => {
    const { model, api: slow } = withModel();
    model.look = ({ refundId }) =>
      refundId === ids[1] ? { kind: 'busy', retryAfterMs: null, evidence: {} } : absent;
    const { body: batch } = await upload(
      slow,
      csv(
        ids.slice(0, 3).map((id) => `${id},,,FAILURE,,${PROOF}`),
        HEADER,
      ),
      '&kind=status_updates',
    );
    await post(slow, batch.batch_id, 'confirm', { rows: 3 });
    expect((await get(api, batch.batch_id)).body.status).toBe('running');
    const states = async () => {
      const rows = await rowsOf(api, batch.batch_id);
      return rows.map(({ state }) => state);
    };
    expect(await states()).toEqual(['made', 'left', 'left']);
    expect((await call(api, `/v1/refunds/${ids[1]}`)).body.state).toBe('manual_review');

    model.look = ({ refundId }) => (refundId === ids[1] ? news('succeeded') : absent);
    await until(async () => {
      await steps(slow);
      expect((await get(api, batch.batch_id)).body.status).toBe('finished');
    });
    expect(await states()).toEqual(['made', 'refused', 'made']);
    expect((await call(api, `/v1/refunds/${ids[1]}`)).body.state).toBe('succeeded');
  });

  test('asks no faster than the account may be asked', async () => {
    const { model, api: asking } = withModel();
    await api.db.query('update gateway_accounts set max_per_second = 2');
    const { body: batch } = await upload(
      asking,
      csv(
        ids.slice(0, 3).map((id) => `${id},,,FAILURE,,${PROOF}`),
        HEADER,
      ),
      '&kind=status_updates',
    );
    await post(asking, batch.batch_id, 'confirm', { rows: 3 });
    expect(model.looked).toHaveLength(2);
    await until(async () => {
      await steps(asking);
      expect((await get(api, batch.batch_id)).body.rows).toMatchObject({ made: 3, refused: 0 });
    });
    expect(model.looked).toHaveLength(3);
  });
});
