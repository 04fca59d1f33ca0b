// A started `haat serve` in a folder of its own, and commands beside it.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const binary = process.env.HAAT ?? fail('HAAT must be the path of the haat binary; the scripts called run set it');
const run = promisify(execFile);

export function fail(why) {
    throw new Error(why);
}

/** A port that nobody listens on. */
export async function freePort() {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address();
    server.close();
    await once(server, 'close');
    return port;
}

/** Asks until the answer is one, for so many seconds at most. */
export async function eventually(what, ask, seconds = 20) {
    const end = Date.now() + seconds * 1_000;
    for (;;) {
        const answer = await ask();
        if (answer) return answer;
        if (Date.now() > end) fail(`not within ${seconds} s: ${what}`);
        await sleep(50);
    }
}

export function basic(id, secret) {
    return `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}`;
}

export class Server {
    /** Starts one on a free port. `settings` are variables of its environment, `config` is the text of its haat.toml. */
    static async start(settings = {}, config = '') {
        const haat = new this();
        haat.folder = await mkdtemp(join(tmpdir(), 'haat-interop-'));
        const port = await freePort();
        haat.url = `http://127.0.0.1:${port}`;
        // Nothing of the caller's environment may reach the server: it could name a database.
        haat.environment = {
            PATH: process.env.PATH,
            HOME: haat.folder,
            HAAT_DATA_DIR: join(haat.folder, 'data'),
            PORT: String(port),
            HAAT_AUTH__ISSUER: haat.url,
            ...settings,
        };
        await haat.configure(config);
        haat.log = '';
        haat.server = spawn(binary, ['serve'], { cwd: haat.folder, env: haat.environment });
        for (const stream of [haat.server.stdout, haat.server.stderr]) {
            stream.setEncoding('utf8').on('data', (text) => (haat.log += text));
        }
        try {
            await eventually('the server is ready', async () => {
                if (haat.server.exitCode !== null) fail('the server has ended');
                return fetch(`${haat.url}/readyz`).then(
                    (answer) => answer.ok,
                    () => false,
                );
            });
            await haat.prepare();
        } catch (error) {
            await haat.stop().catch(() => {});
            error.message += `\n--- the server's log\n${haat.log}`;
            throw error;
        }
        return haat;
    }

    /** What has to be there before it is of use. */
    async prepare() {}

    /** Writes haat.toml, for commands that follow. */
    async configure(text) {
        await writeFile(join(this.folder, 'haat.toml'), text);
    }

    /** Ends it; fails if it panicked or was gone before. */
    async stop() {
        const gone = this.server.exitCode !== null;
        if (!gone) {
            this.server.kill('SIGTERM');
            await once(this.server, 'exit');
        }
        await rm(this.folder, { recursive: true, force: true });
        if (gone || this.log.includes('panicked at')) fail(`the server failed during the run\n${this.log}`);
    }

    /** A command beside the running server; its answer in JSON. */
    async command(...words) {
        const options = { cwd: this.folder, env: this.environment, maxBuffer: 1 << 28 };
        const { stdout } = await run(binary, [...words, '--json'], options);
        return JSON.parse(stdout);
    }

    /** The secret of a new client. */
    async createClient(id, scopes, more = [], method = 'client_secret_basic') {
        const words = ['clients', 'create', '--name', id, '--id', id, '--auth-method', method, ...more];
        const created = await this.command(...words, ...scopes.flatMap((scope) => ['--scope', scope]));
        return created.client_secret;
    }

    /** The access token that a client gets; none before the server has heard of the client. */
    async token(id, secret) {
        const headers = { authorization: basic(id, secret) };
        const body = new URLSearchParams({ grant_type: 'client_credentials' });
        const answer = await fetch(`${this.url}/oauth/token`, { method: 'POST', headers, body });
        return answer.ok ? (await answer.json()).access_token : undefined;
    }
}
