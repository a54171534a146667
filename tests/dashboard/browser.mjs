// What the tests, the benchmark and the screenshots share: the browser, the agent, and the page that the agent serves.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

const { BINARY, CHROMIUM, NODE_MODULES, OLD_CHROMIUM } = process.env;
const require = createRequire(`${NODE_MODULES}/`);
const { chromium } = require('playwright-core');
export const axeSource = require.resolve('axe-core/axe.min.js');
export const tsc = `${NODE_MODULES}/.bin/tsc`;
export const oldChromium = OLD_CHROMIUM;
export { sleep };

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

/** Chromium with an empty profile. */
export const launch = (flags = []) => chromium.launch({ executablePath: CHROMIUM, args: [...FLAGS, ...flags] });

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** The agent itself. */
export class Agent {
  constructor(port, flags = []) {
    this.port = port;
    this.flags = flags;
    this.url = `http://127.0.0.1:${port}/`;
  }

  static async start(flags, port) {
    const agent = new Agent(port ?? await freePort(), flags);
    await agent.up();
    return agent;
  }

  async up() {
    this.child = this.spawn([BINARY, `--web.listen-address=127.0.0.1:${this.port}`, ...this.flags]);
    for (let i = 0; i < 100; i++) {
      try {
        await fetch(`${this.url}health`);
        return;
      } catch {
        if (this.child.exitCode !== null) throw new Error(`${BINARY} ended with status ${this.child.exitCode}`);
        await sleep(50);
      }
    }
    throw new Error(`${BINARY} does not answer at ${this.url}`);
  }

  spawn([binary, ...flags]) {
    return spawn(binary, flags, { stdio: ['ignore', 'ignore', 'inherit'] });
  }

  signal(name) {
    this.child.kill(name);
  }

  async stop() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGCONT');
    this.child.kill('SIGKILL');
    await once(this.child, 'exit');
  }
}

/** The page as the agent serves it, with its policy: what the mock agent serves too. */
export async function pageOf(agent) {
  const answer = await fetch(agent.url);
  const more = await fetch(`${agent.url}more.js`);
  const runbooks = await fetch(`${agent.url}runbooks`);
  return { html: await answer.text(), more: await more.text(), runbooks: await runbooks.text(), csp: answer.headers.get('content-security-policy') };
}
