// What the documentation's examples need of curl, for machines without it: -u, -H, -d, --data-binary @-.
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  options: {
    user: { type: 'string', short: 'u' },
    header: { type: 'string', short: 'H', multiple: true, default: [] },
    data: { type: 'string', short: 'd', multiple: true },
    'data-binary': { type: 'string' },
  },
  allowPositionals: true,
});
const body = values['data-binary'] === '@-' ? await text(process.stdin) : values.data?.join('&');
const headers = new Headers(values.header.map((line) => line.split(/:\s*/, 2) as [string, string]));
if (values.user !== undefined) headers.set('authorization', `Basic ${btoa(values.user)}`);
if (body !== undefined && !headers.has('content-type'))
  headers.set('content-type', 'application/x-www-form-urlencoded');
const answer = await fetch(positionals[0]!, {
  method: body === undefined ? 'GET' : 'POST',
  headers,
  ...(body !== undefined && { body }),
});
process.stdout.write(await answer.text());
