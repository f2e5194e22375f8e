// Runs calls of Juspay's official Node SDK and prints what came of each, as JSON. The SDK speaks TLS to port 443
// only, whatever its base URL says; so https.request is replaced by plain HTTP to the server under test. Nothing
// else of the SDK is touched: bytes, headers and the reading of answers are its own.
import http from 'node:http';
import https from 'node:https';
import { syncBuiltinESMExports } from 'node:module';

const { port, apiKey, merchantId, version, calls } = JSON.parse(process.argv[2]);

// JSON has no undefined, and what the SDK makes of it is the point of some calls.
for (const [, , body] of calls) {
  for (const name of Object.keys(body ?? {})) if (body[name] === '(undefined)') body[name] = undefined;
}

let httpStatus;
https.request = (options) => {
  const request = http.request({ ...options, host: '127.0.0.1', port, agent: undefined });
  request.once('response', (response) => {
    httpStatus = response.statusCode;
  });
  // The SDK starts to write when TLS is up.
  request.once('socket', (socket) => socket.once('connect', () => socket.emit('secureConnect')));
  return request;
};
syncBuiltinESMExports();

const { Juspay } = await import('expresscheckout-nodejs');
Juspay.customLogger = Juspay.silentLogger;
const juspay = new Juspay({
  merchantId,
  apiKey,
  baseUrl: 'https://refundry.test',
  ...(version && { version }),
});

const results = [];
for (const [verb, ...args] of calls) {
  try {
    const { http: _, ...answer } = await juspay.order[verb](...args);
    results.push({ answer });
  } catch (error) {
    results.push({
      thrown: error.constructor.name,
      name: error.name,
      message: error.message,
      status: error.status,
      errorCode: error.error_code,
      http: httpStatus,
    });
  }
}
process.stdout.write(JSON.stringify(results));
