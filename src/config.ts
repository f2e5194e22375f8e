// Placeholder contract for the settings object; the full reader follows.
export interface Settings {
  readonly port: number;
  readonly host: string;
  /** Null: the embedded PostgreSQL under dataDir. */
  readonly databaseUrl: string | null;
  readonly dataDir: string;
  readonly role: 'all' | 'api' | 'worker';
  /** 32 bytes; null only when embedded (then generated into dataDir). */
  readonly masterKey: Buffer | null;
  readonly demo: boolean;
  readonly demoApiKey: string | null;
  readonly manualReviewAfterMs: number;
  readonly logLevel: string;
  readonly allowPrivateWebhooks: boolean;
  /** Where the outside reaches us, without a slash at the end: links, gateway webhook addresses. */
  readonly publicUrl: string;
  /** Whether the sandbox gateway is served, and whether its books may be read without a key. */
  readonly sandbox: 'off' | 'keyed' | 'open';
  /** Where SANDBOX accounts find it. */
  readonly sandboxUrl: string;
}
