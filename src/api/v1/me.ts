import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { type AccessAction, logAccess } from '../../access/access-log.ts';
import { countAttempt, forgiveAttempt } from '../../access/attempts.ts';
import { DEMO_MERCHANT } from '../../access/demo-key.ts';
import { readMerchant, settingsOf } from '../../access/merchants.ts';
import type { SignIn, SignInResult } from '../../access/sign-in.ts';
import type { Attempt, Traces } from '../../access/traces.ts';
import { endSession, endSessions, listSessions, renameUser } from '../../access/users.ts';
import { practisesOnly } from '../../gateways/practice.ts';
import { plusMs } from '../../lib/clock.ts';
import { browserOf, permissionsOfCaller } from '../auth.ts';
import {
  backupCodesAnswer,
  meSchema,
  nameBody,
  passwordBody,
  secondFactorAnswer,
  secondFactorCodeBody,
  sessionsAnswer,
  wordBody,
} from '../contract/me.ts';
import type { ApiDeps, Caller, UserCaller } from '../deps.ts';
import { ApiError, errorSchema } from '../errors.ts';
import { requireGoodPassword, setCookies } from '../sign-in.ts';

const TRIES = 10;
const WINDOW_MS = 15 * 60_000;

/** Who is asking, and what a person may change about themselves. */
export async function meRoutes(
  instance: FastifyInstance,
  deps: ApiDeps,
  signIn: SignIn,
  traces: Traces,
): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { db, clock } = deps;
  const tags = ['Sign-in'];
  const own = { config: { permission: 'own.manage' }, bodyLimit: 4 * 1024 } as const;
  const factorAnswers = { 400: errorSchema, 409: errorSchema, 429: errorSchema };

  app.get(
    '/v1/me',
    {
      config: { permission: 'own.read' },
      schema: { tags, summary: 'Who is asking, and what they may do', response: { 200: meSchema } },
    },
    async ({ caller }) => me(deps, caller),
  );

  app.patch(
    '/v1/me',
    { ...own, schema: { tags, summary: 'Change your name', body: nameBody, response: { 200: meSchema } } },
    async (request) => {
      const person = personOf(request);
      const { name } = request.body;
      await db.transaction(async (tx) => {
        await renameUser(tx, person.userId, name, clock.now());
        await logOwn(request, 'renamed', { from: person.userName, to: name }, tx);
      });
      return me(deps, { ...person, userName: name });
    },
  );

  app.post(
    '/v1/me/password',
    {
      ...own,
      schema: {
        tags,
        summary: 'Change your password',
        description: 'Ends your sessions in all other browsers.',
        body: passwordBody,
        response: { 204: z.null().describe('Changed.'), ...factorAnswers },
      },
    },
    async (request, reply) => {
      const { current_password, new_password } = request.body;
      const { userEmail, userName, merchantId } = personOf(request);
      const merchantName = (await readMerchant(db, merchantId))?.name ?? merchantId;
      const owner = { email: userEmail, name: userName, merchantName };
      requireGoodPassword('new_password', new_password, owner);
      const result = await withinTries(request, () =>
        signIn.changePassword(browserOf(request), current_password, new_password, personOf(request).openedBy),
      );
      setCookies(reply, result);
      await logOwn(request, 'password_changed');
      return reply.code(204).send(null);
    },
  );

  app.get(
    '/v1/me/sessions',
    {
      config: { permission: 'own.manage' },
      schema: {
        tags,
        summary: 'Where you are signed in, the last used first',
        response: { 200: sessionsAnswer },
      },
    },
    async (request) => {
      const { userId, sessionId } = personOf(request);
      return { sessions: await sessionsOf(deps, userId, sessionId) };
    },
  );

  app.delete(
    '/v1/me/sessions/:session_id',
    {
      ...own,
      schema: {
        tags,
        summary: 'Sign out of one browser',
        params: z.object({ session_id: z.uuid() }),
        response: { 204: z.null().describe('Signed out.'), 404: errorSchema },
      },
    },
    async (request, reply) => {
      const { userId } = personOf(request);
      if (!(await endSession(db, userId, request.params.session_id))) {
        throw new ApiError(404, 'session_not_found', 'You have no session with this id.');
      }
      await logOwn(request, 'sessions_ended', { count: 1 });
      return reply.code(204).send(null);
    },
  );

  app.delete(
    '/v1/me/sessions',
    {
      ...own,
      schema: {
        tags,
        summary: 'Sign out of all browsers but this one',
        response: { 200: z.object({ ended: z.int() }).describe('How many ended.') },
      },
    },
    async (request) => {
      const { userId, sessionId } = personOf(request);
      const ended = await endSessions(db, userId, sessionId);
      await logOwn(request, 'sessions_ended', { count: ended });
      return { ended };
    },
  );

  app.post(
    '/v1/me/second-factor',
    {
      ...own,
      schema: {
        tags,
        summary: 'Begin to set up a second factor',
        description:
          'The secret, for an authenticator app, and ten backup codes: neither is shown again. It counts once ' +
          'POST /v1/me/second-factor/confirm has seen a code.',
        body: wordBody,
        response: { 200: secondFactorAnswer, ...factorAnswers },
      },
    },
    async (request, reply) => {
      const result = await withinTries(request, () =>
        signIn.beginSecondFactor(browserOf(request), request.body.password, personOf(request).userEmail),
      );
      const { otpauthUri, backupCodes } = setCookies(reply, result);
      return { otpauth_uri: otpauthUri, backup_codes: [...backupCodes] };
    },
  );

  app.post(
    '/v1/me/second-factor/confirm',
    {
      ...own,
      schema: {
        tags,
        summary: 'Switch your second factor on with a code from the app',
        description: 'Ends your sessions in all other browsers: they began without it.',
        body: secondFactorCodeBody,
        response: { 200: meSchema, ...factorAnswers },
      },
    },
    async (request, reply) => {
      const person = personOf(request);
      if (person.secondFactor) throw new ApiError(409, 'already_on', 'You have a second factor already.');
      const result = await withinTries(request, () =>
        signIn.confirmSecondFactor(browserOf(request), request.body.code),
      );
      if (!result.ok && result.refusal === 'wrong_code') {
        throw new ApiError(400, 'wrong_code', 'The code is wrong or too old. Take the one shown now.', {
          field: 'code',
        });
      }
      setCookies(reply, result);
      await logOwn(request, 'second_factor_on');
      return me(deps, { ...person, secondFactor: true, openedBy: 'code' });
    },
  );

  app.post(
    '/v1/me/second-factor/disable',
    {
      ...own,
      schema: {
        tags,
        summary: 'Switch your second factor off',
        description: 'Ends your sessions in all other browsers.',
        body: wordBody,
        response: { 200: meSchema, ...factorAnswers },
      },
    },
    async (request, reply) => {
      const person = personOf(request);
      if (settingsOf(person.merchantSettings).require_second_factor) {
        throw new ApiError(
          409,
          'second_factor_needed',
          'Your merchant asks everyone for a second factor. For another app, ask an admin to reset yours.',
        );
      }
      const result = await withinTries(request, () =>
        signIn.endSecondFactor(browserOf(request), request.body.password),
      );
      setCookies(reply, result);
      await logOwn(request, 'second_factor_off');
      return me(deps, { ...person, secondFactor: false, openedBy: 'password' });
    },
  );

  app.post(
    '/v1/me/second-factor/backup-codes',
    {
      ...own,
      schema: {
        tags,
        summary: 'Make new backup codes; the ones before stop working',
        body: wordBody,
        response: { 200: backupCodesAnswer, ...factorAnswers },
      },
    },
    async (request, reply) => {
      const result = await withinTries(request, () =>
        signIn.newBackupCodes(browserOf(request), request.body.password),
      );
      const codes = setCookies(reply, result);
      await logOwn(request, 'backup_codes_made');
      return { backup_codes: [...codes] };
    },
  );

  async function logOwn(
    request: FastifyRequest,
    action: AccessAction,
    details: Record<string, unknown> = {},
    within = db as Pick<typeof db, 'query'>,
  ): Promise<void> {
    const { merchantId, userId, userEmail } = personOf(request);
    await logAccess(within, clock, {
      merchantId,
      by: { userId, name: userEmail },
      action,
      userId,
      email: userEmail,
      details,
      requestId: request.id,
    });
  }

  /** Whoever sits at an unlocked screen should not be able to guess the password there. */
  async function withinTries<Value>(
    request: FastifyRequest,
    work: () => Promise<SignInResult<Value>>,
  ): Promise<SignInResult<Value>> {
    const { userId } = personOf(request);
    const bucket = `person:${userId}`;
    const note = (what: Attempt['what']) =>
      traces.note({ what, address: request.ip, requestId: request.id, userId });
    const until = await countAttempt(db, clock, { bucket, most: TRIES, windowMs: WINDOW_MS });
    if (until) {
      note('sign_in_locked');
      const waitMs = until.getTime() - clock.now().getTime();
      throw new ApiError(429, 'too_many_tries', 'Too many wrong tries. Wait for 15 minutes.', {}, waitMs);
    }
    const result = await work();
    if (result.ok) await forgiveAttempt(db, bucket);
    else if (result.refusal === 'wrong_code') note('code_failed');
    else if (result.refusal === 'wrong_password') note('sign_in_failed');
    return result;
  }
}

async function me(deps: ApiDeps, caller: Caller): Promise<z.input<typeof meSchema>> {
  const merchant = await readMerchant(deps.db, caller.merchantId);
  const { kind } = caller;
  return {
    user:
      kind === 'key'
        ? null
        : {
            user_id: caller.userId,
            email: caller.userEmail,
            name: caller.userName,
            second_factor: caller.secondFactor,
          },
    role: kind === 'key' ? null : caller.role,
    permissions: [...permissionsOfCaller(caller)],
    merchant: {
      merchant_id: caller.merchantId,
      name: merchant?.name ?? caller.merchantId,
      sandbox: await practisesOnly(deps.db, caller.merchantId),
      require_second_factor: settingsOf(caller.merchantSettings).require_second_factor,
    },
    demo: deps.settings.demo && caller.merchantId === DEMO_MERCHANT,
  };
}

/** Where a person is signed in; `current` marks the session that asks. */
export async function sessionsOf(deps: ApiDeps, userId: string, current: string | null) {
  const now = deps.clock.now();
  const found = await listSessions(deps.db, userId, now, plusMs(now, -deps.settings.sessionLifeMs));
  return found.map((session) => ({
    session_id: session.sessionId,
    current: session.sessionId === current,
    started_at: session.startedAt.toISOString(),
    last_used_at: session.lastUsedAt.toISOString(),
    opened_by: session.openedBy,
    address: session.address,
    user_agent: session.userAgent,
  }));
}

/** The person who asks; routes for people only let in nobody else. */
export function personOf({ caller }: FastifyRequest): UserCaller {
  if (caller.kind !== 'user') throw new Error('a route for people let in a key');
  return caller;
}
