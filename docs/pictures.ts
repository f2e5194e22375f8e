/** The pictures of the documentation, drawn by code so that they change with what they show. */

interface Theme {
  readonly ink: string;
  readonly quiet: string;
  readonly line: string;
  readonly frame: string;
  readonly box: string;
  readonly accent: string;
}

export const THEMES = {
  light: {
    ink: '#1f2328',
    quiet: '#59636e',
    line: '#818b98',
    frame: '#f6f8fa',
    box: '#ffffff',
    accent: '#0969da',
  },
  dark: {
    ink: '#f0f6fc',
    quiet: '#9198a1',
    line: '#656c76',
    frame: '#151b23',
    box: '#0d1117',
    accent: '#4493f8',
  },
} as const satisfies Record<string, Theme>;

/** The way of a refund through Refundry. Transparent, so that it stands on any page of its theme. */
export function flowPicture(theme: Theme): string {
  const parts = [
    `<rect x="262" y="14" width="436" height="360" rx="12" fill="${theme.frame}" stroke="${theme.line}"/>`,
    `<text x="480" y="394" class="quiet middle">Refundry: one program, any number of processes</text>`,

    box(theme, 20, 44, 160, 76, 'Your systems', ['shop, support tool,', 'Juspay’s clients']),
    box(theme, 20, 268, 160, 76, 'Your endpoint', ['200 acknowledges']),
    box(theme, 780, 44, 160, 300, 'Payment gateway', ['that took the money']),

    box(theme, 274, 44, 184, 76, '1 · Record', ['checked and committed', 'before it is accepted']),
    box(theme, 502, 44, 184, 76, '2 · Send', ['intent written down first,', 'then one request']),
    box(theme, 502, 268, 184, 76, '3 · Settle', ['one place judges answers,', 'webhooks and look-ups']),
    box(theme, 274, 268, 184, 76, '4 · Tell', ['signed webhooks, sent', 'until acknowledged']),
    `<path d="M274 172v44c0 6 94 12 206 12s206-6 206-12v-44" fill="${theme.box}" stroke="${theme.accent}"/>`,
    `<ellipse cx="480" cy="172" rx="206" ry="12" fill="${theme.box}" stroke="${theme.accent}"/>`,
    `<text x="480" y="210" class="middle">PostgreSQL: refund, event and webhook in one commit</text>`,

    arrow('M180 70H272', 'refund', 221, 62),
    arrow('M274 96H182', 'accepted', 221, 114),
    arrow('M366 120v38'),
    arrow('M594 164v-42'),
    arrow('M594 268v-42'),
    arrow('M366 222v44'),
    arrow('M686 70H778', 'same key,', 739, 46, 'same bytes'),
    arrow('M780 96H688', 'answer', 739, 114),
    arrow('M780 290H688', 'webhook', 739, 282),
    arrow('M688 322H778', 'look-up', 739, 340),
    arrow('M274 306H182', 'order', 221, 298),
    `<text x="376" y="145" class="quiet">on the disk</text>`,
    `<text x="604" y="145" class="quiet">what is due</text>`,
    `<text x="604" y="252" class="quiet">outcome</text>`,
    `<text x="376" y="252" class="quiet">what changed</text>`,
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 404" font-family="system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif" font-size="13">
<title>The way of a refund: recorded, sent, settled, told; everything in between lies in PostgreSQL.</title>
<style>text{fill:${theme.ink}}.title{font-size:15px;font-weight:600}.quiet{fill:${theme.quiet};font-size:12px}.middle{text-anchor:middle}.way{fill:none;stroke:${theme.ink};stroke-width:1.4;marker-end:url(#head)}</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0.5 8 4 0 7.5z" fill="${theme.ink}"/></marker></defs>
${parts.join('\n')}
</svg>
`;
}

function box(
  theme: Theme,
  x: number,
  y: number,
  width: number,
  height: number,
  title: string,
  lines: string[],
) {
  const middle = x + width / 2;
  const top = y + height / 2 - (lines.length * 17) / 2;
  return [
    `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="8" fill="${theme.box}" stroke="${theme.line}"/>`,
    `<text x="${middle}" y="${top + 3}" class="title middle">${title}</text>`,
    ...lines.map(
      (line, n) => `<text x="${middle}" y="${top + 22 + n * 17}" class="quiet middle">${line}</text>`,
    ),
  ].join('\n');
}

function arrow(path: string, label?: string, x?: number, y?: number, secondLine?: string) {
  const text = (words: string, at: number) => `<text x="${x}" y="${at}" class="quiet middle">${words}</text>`;
  return [
    `<path d="${path}" class="way"/>`,
    ...(label ? [text(label, y!)] : []),
    ...(secondLine ? [text(secondLine, y! + 16)] : []),
  ].join('\n');
}

const TERMINAL = {
  background: '#0d1117',
  edge: '#3d444d',
  ink: '#e6edf3',
  quiet: '#9198a1',
  link: '#39c5cf',
};
const CHARACTER_PX = 7.9;
const LINE_PX = 19;

/** Terminal output with the colours that its codes ask for (bold, dim, cyan). Dark on any page, as terminals are. */
export function terminalPicture(title: string, output: string): string {
  const lines = output.split('\n');
  const longest = Math.max(...lines.map((line) => plain(line).length));
  const width = Math.ceil(longest * CHARACTER_PX + 40);
  const height = lines.length * LINE_PX + 52;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="13">
<title>${escaped(title)}</title>
<style>text{fill:${TERMINAL.ink};white-space:pre}.b{font-weight:700}.q{fill:${TERMINAL.quiet}}.l{fill:${TERMINAL.link}}</style>
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8" fill="${TERMINAL.background}" stroke="${TERMINAL.edge}"/>
${lines.map((line, n) => `<text x="20" y="${36 + n * LINE_PX}" xml:space="preserve">${spans(line)}</text>`).join('\n')}
</svg>
`;
}

const CLASSES: Readonly<Record<string, string>> = { '1': 'b', '2': 'q', '36': 'l' };
const CODES = new RegExp(`${String.fromCharCode(27)}\\[(\\d+)m`);

function spans(line: string): string {
  const [first = '', ...rest] = line.split(CODES);
  let shown = escaped(first);
  for (let n = 0; n < rest.length; n += 2) {
    const text = escaped(rest[n + 1]!);
    const look = CLASSES[rest[n]!];
    shown += look && text ? `<tspan class="${look}">${text}</tspan>` : text;
  }
  return shown;
}

function plain(line: string): string {
  return line.replaceAll(new RegExp(CODES, 'g'), '');
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
