/** Whether nothing is sent because the books may have gone back in time; false where the server does not say. */
export async function areBooksInDoubt(signal: AbortSignal): Promise<boolean> {
  const answer = await fetch('/health', { signal });
  const health: unknown = await answer.json().catch(() => null);
  return typeof health === 'object' && health !== null && 'books' in health && health.books === 'in_doubt';
}
