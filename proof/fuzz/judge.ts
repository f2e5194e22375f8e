import { z } from 'zod';
import type { Ask } from './asks.ts';
import { CANARY, SECRET } from './merchant.ts';
import type { Answer } from './wire.ts';

const ownRefusal = z.strictObject({
  error: z.strictObject({
    code: z.string().regex(/^[a-z_]+$/),
    message: z.string().min(1),
    field: z.string().optional(),
    value: z.string().optional(),
    accepted: z.string().optional(),
  }),
});

/** What may be refused anywhere, without every address saying so. */
const USUAL = new Set([400, 401, 403, 404, 405, 409, 413, 414, 415, 431]);

/** What is wrong with an answer, in a sentence, or null. `unasked`: bodies that are secret for this one answer only. */
export function judge(ask: Ask, answer: Answer): string | null {
  const { status, text } = answer;
  const leaked = leakIn(ask, answer);
  if (leaked !== null) return leaked;
  if (status >= 500) return `${status} is our fault, not the caller's`;
  if (answer.headers['x-content-type-options'] !== 'nosniff') return 'the answer has no security headers';
  if (status < 300) {
    if (ask.method === 'OPTIONS') return null;
    if (!ask.may && !ask.route.open)
      return `let in was ${ask.as ? `a person (${ask.as.role})` : 'a program'} who may not do this, or did not prove who it is`;
    if (ask.method !== ask.route.method) return null;
    return shapeProblem(ask, answer);
  }
  if (status < 400) return `${status} was not expected: nothing here leads elsewhere`;
  if (!USUAL.has(status) && !ask.route.answers.has(`${status} application/json`))
    return `${status} is a status that nobody documented`;
  if (ask.method === 'HEAD') return null;
  if (answer.json === undefined) return `the refusal is not JSON: ${text.slice(0, 200)}`;
  if (ask.target.startsWith('/v1/') || ask.target.startsWith('/gateways/')) {
    const known = ownRefusal.safeParse(answer.json);
    return known.success ? null : `the refusal is not shaped like ours: ${text.slice(0, 300)}`;
  }
  const documented = ask.route.answers.get('400 application/json');
  if (documented && !documented.safeParse(answer.json).success)
    return `the refusal is not shaped as documented: ${text.slice(0, 300)}`;
  return null;
}

function shapeProblem(ask: Ask, answer: Answer): string | null {
  const { answers } = ask.route;
  const type = String(answer.headers['content-type'] ?? 'none').split(';', 1)[0]!;
  if (answer.status === 204) return answer.text === '' ? null : 'a 204 with a body';
  const schema = answers.get(`${answer.status} ${type}`);
  if (!schema) return `${answer.status} ${type} is not documented for ${ask.method} ${ask.route.path}`;
  const bodies = type.endsWith('ndjson')
    ? answer.text
        .trim()
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line))
    : [type.endsWith('json') ? answer.json : answer.text];
  for (const body of bodies) {
    const reading = schema.safeParse(body);
    if (!reading.success) {
      const issue = reading.error.issues[0]!;
      return `the answer is not as documented: ${issue.path.join('.')}: ${issue.message}`;
    }
  }
  return null;
}

/** The two leaks: another merchant's data, and anybody's secret. */
function leakIn(ask: Ask, answer: Answer): string | null {
  const said = `${JSON.stringify(answer.headers)}\n${answer.text}`;
  const secret = said.match(SECRET)?.[0];
  if (secret !== undefined) return `the answer holds the secret ${secret}`;
  const key = Buffer.from(`${ask.by.key}:`).toString('base64').replace(/=+$/, '');
  if (said.includes(key)) return 'the answer holds the authorization of the request';
  if (ask.by.people.some(({ token }) => answer.text.includes(token)))
    return 'the answer holds the session of a person';
  // The request log repeats the addresses that its merchant called, and this one calls for what is the other's.
  if (ask.route.path.startsWith('/v1/requests')) return null;
  for (const found of said.match(CANARY) ?? []) {
    const canary = found.toLowerCase();
    if (canary[3] !== ask.by.letter && !ask.says.has(canary))
      return `the answer holds ${found}, which is the other merchant's`;
  }
  return null;
}

/** An answer without what differs from call to call and without this id, for comparing two that should be equal. */
export function withoutId(answer: Answer, id: string): string {
  const shown = answer.text.replaceAll(new RegExp(id, 'gi'), '<id>');
  return `${answer.status} ${shown.replace(/"request_id":"[^"]*"/g, '"request_id":""')}`;
}
