import { demoEmail } from './access/demo-people.ts';
import { ROLES } from './access/roles.ts';
import type { Refundry } from './main.ts';
import type { ExampleOrder } from './orders/example.ts';

/**
 * What the terminal shows once everything runs: short enough for a small window, nothing that needs scrolling. Where it
 * is no terminal that it goes to, but a file or a journal that others read too, it has no secret and says what tells it.
 */
export function startPage(
  refundry: Pick<Refundry, 'url' | 'settings' | 'place' | 'inDoubt' | 'demoKey' | 'demoPassword'>,
  example: ExampleOrder | null,
  isTerminal: boolean,
): string {
  const paint = (code: number) => (text: string) => (isTerminal ? `\x1b[${code}m${text}\x1b[0m` : text);
  const [strong, quiet, link] = [paint(1), paint(2), paint(36)];
  const { url, settings, place, demoKey, demoPassword } = refundry;
  const fact = (name: string, value: string) => `  ${quiet(name.padEnd(11))}${value}`;

  const doubt = refundry.inDoubt();
  const warning = doubt === null ? [] : [`  ${strong('Nothing is sent.')} ${doubt}`, ''];
  if (url === null) {
    const running = `  ${strong('Refundry worker')} is running.`;
    return `\n${[running, '', ...warning, fact('Data', place), fact('Stop', STOP)].join('\n')}\n`;
  }
  const lines = [
    `  ${strong('Refundry')} is running.`,
    '',
    ...warning,
    fact('Dashboard', link(url)),
    fact('API', `${link(`${url}/docs`)}  the reference`),
    ...(settings.sandbox === 'off'
      ? []
      : [fact('Sandbox', `${link(`${url}/sandbox/refunds`)}  what the PG paid out`)]),
    fact('Health', link(`${url}/health`)),
  ];
  if (demoPassword) {
    const [first, ...others] = [...ROLES].reverse();
    const people = `${demoEmail(first!)}  or ${others.map((role) => `${role}@`).join(', ')}`;
    lines.push(
      '',
      fact('Sign in', people),
      fact('Password', isTerminal ? demoPassword : told('demo-password')),
    );
  }
  if (demoKey)
    lines.push('', fact('Merchant', 'demo'), fact('API key', isTerminal ? demoKey : told('demo-key')));
  if (demoKey && example) {
    lines.push(
      '',
      `  ${quiet('A first refund, to paste into another terminal:')}`,
      '',
      `  curl -u ${isTerminal ? `${demoKey}:` : '"$(npm run -s refundry demo-key):"'} -H 'x-merchantid: demo' \\`,
      `    -d unique_request_id=first-refund -d amount=${example.amount} \\`,
      `    ${url}/orders/${encodeURIComponent(example.orderId)}/refunds`,
    );
  }
  lines.push('', fact('Data', place), fact('Stop', STOP));
  return `\n${lines.join('\n')}\n`;
}

function told(command: string): string {
  return `npm run -s refundry ${command}  tells it, with the same settings`;
}

const STOP = 'Ctrl-C; the next start continues where this one ended';
