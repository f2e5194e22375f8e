/**
 * Where to go after sign-in: the page that the address names, if it is one of ours, else the first one. An address
 * is a stranger's text: it must never lead to another site, nor in a circle.
 */
export function wayBack(asked: string | undefined, origin: string): string {
  if (asked === undefined || !URL.canParse(asked, origin)) return '/';
  const { origin: at, pathname, search, hash } = new URL(asked, origin);
  const elsewhere = at !== origin || !asked.startsWith('/') || pathname.startsWith('//');
  return elsewhere || ENTRANCE.test(pathname) ? '/' : `${pathname}${search}${hash}`;
}

const ENTRANCE = /^\/(sign-in|join|reset)(\/|$)/;
