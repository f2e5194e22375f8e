import type { Clock } from '../lib/clock.ts';
import type { Database, Queryable } from '../lib/db.ts';

/** A saved view of a list. */
export interface SavedView {
  readonly viewId: string;
  readonly madeById: string;
  readonly madeBy: string;
  readonly name: string;
  readonly page: string;
  readonly query: string;
  /** Null: the usual ones. */
  readonly columns: readonly string[] | null;
  readonly shared: boolean;
  readonly updatedAt: Date;
}

export interface ViewToSave extends Omit<SavedView, 'updatedAt'> {
  readonly merchantId: string;
}

/** The most views that one person or key keeps. */
export const MAX_VIEWS = 50;

/** The views that somebody made, and those that everybody of the merchant has, by name. */
export async function listViews(
  db: Queryable,
  merchantId: string,
  of: { readonly madeById: string; readonly page: string | null },
): Promise<SavedView[]> {
  return db.query(
    `select ${VIEW} from saved_views
     where merchant_id = $1 and (made_by_id = $2 or shared) and ($3::text is null or page = $3)
     order by lower(name), view_id`,
    [merchantId, of.madeById, of.page],
  );
}

/** Whoever made it or not; null where the merchant has no such view. */
export async function readView(db: Queryable, merchantId: string, viewId: string): Promise<SavedView | null> {
  const rows = await db.query<SavedView>(
    `select ${VIEW} from saved_views where merchant_id = $1 and view_id = $2`,
    [merchantId, viewId],
  );
  return rows[0] ?? null;
}

/**
 * Makes the view or puts this one in the place of the one that is there, whose maker it keeps. Answers with what is
 * there now, or with `too_many` where the maker has as many as may be.
 */
export async function saveView(
  db: Database,
  clock: Clock,
  view: ViewToSave,
): Promise<SavedView | 'too_many'> {
  return db.transaction(async (tx) => {
    // So that two requests at once cannot both take the last place.
    await tx.query('select merchant_id from merchants where merchant_id = $1 for no key update', [
      view.merchantId,
    ]);
    const [held] = await tx.query<{ count: number }>(
      'select count(*) from saved_views where merchant_id = $1 and made_by_id = $2 and view_id <> $3',
      [view.merchantId, view.madeById, view.viewId],
    );
    if (held!.count >= MAX_VIEWS) return 'too_many';
    const [saved] = await tx.query<SavedView>(
      `insert into saved_views (view_id, merchant_id, made_by_id, made_by, name, page, query, columns, shared,
         created_at, updated_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
       on conflict (merchant_id, view_id) do update set name = excluded.name, page = excluded.page, query = excluded.query,
         columns = excluded.columns, shared = excluded.shared, updated_at = excluded.updated_at
       returning ${VIEW}`,
      [
        view.viewId,
        view.merchantId,
        view.madeById,
        view.madeBy,
        view.name,
        view.page,
        view.query,
        view.columns,
        view.shared,
        clock.now(),
      ],
    );
    return saved!;
  });
}

export async function deleteView(db: Queryable, merchantId: string, viewId: string): Promise<void> {
  await db.query('delete from saved_views where merchant_id = $1 and view_id = $2', [merchantId, viewId]);
}

const VIEW = `view_id as "viewId", made_by_id as "madeById", made_by as "madeBy", name, page, query, columns,
  shared, updated_at as "updatedAt"`;
