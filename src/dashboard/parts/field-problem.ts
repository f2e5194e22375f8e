import { Problem } from '../api/client.ts';

/** What a refusal says of one field of a form, to stand beside it; null when it is about something else. */
export function fieldProblem(error: unknown, field: string): string | null {
  if (!(error instanceof Problem) || error.field !== field) return null;
  if (!error.accepted) return error.message;
  return `${error.message} Accepted: ${/[.!?]$/.test(error.accepted) ? error.accepted : `${error.accepted}.`}`;
}

/** The refusal that stands above a form, because none of its fields is to blame; else null. */
export function formProblem(error: unknown, fields: readonly string[]): unknown {
  return error instanceof Problem && error.field !== null && fields.includes(error.field) ? null : error;
}
