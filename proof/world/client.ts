/** What came back; status 0 where nothing did. */
export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers are read as a merchant's program would read them
  readonly body: any;
}

/** A merchant's program calling Refundry, or anyone reading the sandbox's books. Never throws. */
export interface Client {
  get(path: string): Promise<Answer>;
  post(path: string, body: unknown): Promise<Answer>;
  form(path: string, fields: Readonly<Record<string, string>>): Promise<Answer>;
  /** A file of comma-separated values. */
  file(path: string, csv: string): Promise<Answer>;
}

const PATIENCE_MS = 30_000;
const NOTHING: Answer = { status: 0, body: null };

export function clientOf(url: string, headers: Readonly<Record<string, string>> = {}): Client {
  async function call(method: string, path: string, type?: string, body?: string): Promise<Answer> {
    try {
      const response = await fetch(url + path, {
        method,
        headers: { ...headers, ...(type && { 'content-type': type }) },
        ...(body !== undefined && { body }),
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      return { status: response.status, body: await response.json() };
    } catch {
      return NOTHING;
    }
  }
  return {
    get: (path) => call('GET', path),
    post: (path, body) => call('POST', path, 'application/json', JSON.stringify(body)),
    form: (path, fields) =>
      call('POST', path, 'application/x-www-form-urlencoded', new URLSearchParams(fields).toString()),
    file: (path, csv) => call('POST', path, 'text/csv', csv),
  };
}
