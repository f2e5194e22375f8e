import { z } from 'zod';

/** Saved views of a list: a name for a query. */

export const VIEW_PAGES = ['orders', 'refunds'] as const;

export const viewBodySchema = z
  .strictObject({
    name: z
      .string()
      .trim()
      .regex(/^[^\p{Cc}]{1,60}$/u, '1 to 60 characters without line breaks'),
    page: z.enum(VIEW_PAGES),
    query: z
      .string()
      .max(2_000)
      .regex(
        /^$|^[A-Za-z0-9_.]{1,64}=[\w.~!$'()*+,;:@/?%-]*(&[A-Za-z0-9_.]{1,64}=[\w.~!$'()*+,;:@/?%-]*)*$/,
        'a query without its question mark, such as status=FAILURE&gateway=SANDBOX, or nothing',
      )
      .describe('The query of the page’s address, without the question mark.'),
    columns: z
      .array(z.string().regex(/^[a-z][a-z0-9_]{0,39}$/, 'a column name of small letters, digits and _'))
      .max(40)
      .nullish()
      .describe('Which columns, in which order; null for the usual ones.'),
    shared: z.boolean().default(false).describe('Whether everybody of the merchant has it.'),
  })
  .meta({ examples: [{ name: 'Failed today', page: 'refunds', query: 'status=FAILURE', shared: false }] });

export const viewSchema = z
  .object({
    view_id: z.string(),
    name: z.string(),
    page: z.enum(VIEW_PAGES),
    query: z.string(),
    columns: z.array(z.string()).nullable(),
    shared: z.boolean(),
    mine: z.boolean().describe('Whether the caller made it.'),
    made_by: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: 'View', description: 'A saved view of a list.' });

export const viewListSchema = z
  .object({ views: z.array(viewSchema) })
  .describe('Your own and the shared ones, by name.');

export const viewFilterSchema = z.strictObject({ page: z.enum(VIEW_PAGES).optional() });
export const viewParamsSchema = z.object({
  view_id: z.uuid().describe('Chosen by the caller who makes it.'),
});

export type View = z.infer<typeof viewSchema>;
export type ViewList = z.infer<typeof viewListSchema>;
export type ViewBody = z.input<typeof viewBodySchema>;
