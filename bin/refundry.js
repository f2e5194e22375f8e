#!/usr/bin/env node
// Plain, old JavaScript: whatever Node runs this file, it can at least say in one sentence what is missing.

const NEEDED = [22, 18];
const running = process.versions.node.split('.').map(Number);

function refuse(sentence) {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
}

if (running[0] < NEEDED[0] || (running[0] === NEEDED[0] && running[1] < NEEDED[1])) {
  refuse(
    `Refundry needs Node.js ${NEEDED.join('.')} or newer, and this is ${process.versions.node}: ` +
      'run it through npm ("npm start", or "npm run refundry -- <command>"), which uses the Node.js that "npm ci" installed.',
  );
}

// The first Node versions that run TypeScript call it an experiment at each start.
process.removeAllListeners('warning');
process.on('warning', (warning) => {
  if (warning.name !== 'ExperimentalWarning') process.stderr.write(`${warning.stack}\n`);
});

import('../src/cli.ts')
  .then((cli) => cli.run(process.argv))
  .catch((error) => {
    if (error.code !== 'ERR_MODULE_NOT_FOUND' && error.code !== 'MODULE_NOT_FOUND') throw error;
    const part = /package '([^']+)'/.exec(error.message);
    refuse(
      `A needed part is not installed (${part ? part[1] : error.message.split('\n')[0]}): run "npm ci" again.`,
    );
  });
