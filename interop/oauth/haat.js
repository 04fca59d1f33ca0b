// A started `haat serve` with clients of every kind, for the tests beside this file.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { exportJWK, generateKeyPair } from 'jose';

const binary = process.env.HAAT ?? fail('HAAT must be the path of the haat binary; interop/oauth/run sets it');
const run = promisify(execFile);

function fail(why) {
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

/** Asks until the answer is one, for 20 s at most. */
export async function eventually(what, ask) {
    const end = Date.now() + 20_000;
    for (;;) {
        const answer = await ask();
        if (answer) return answer;
        if (Date.now() > end) fail(`not within 20 s: ${what}`);
        await sleep(50);
    }
}

export function basic(id, secret) {
    return `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}`;
}

export class Haat {
    /** Starts a server in a folder of its own, on a free port; `settings` are variables of its environment. */
    static async start(settings = {}) {
        const haat = new Haat();
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
            // All requests come from one address, and most of them are meant to fail.
            HAAT_AUTH__TOKEN_REQUESTS: '0',
            HAAT_AUTH__FAILURES_PER_CLIENT: '100000',
            HAAT_AUTH__FAILURES_PER_ADDRESS: '100000',
            ...settings,
        };
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
            await haat.#makeClients();
        } catch (error) {
            await haat.stop();
            error.message += `\n--- the server's log\n${haat.log}`;
            throw error;
        }
        return haat;
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
        const options = { cwd: this.folder, env: this.environment };
        const { stdout } = await run(binary, [...words, '--json'], options);
        return JSON.parse(stdout);
    }

    async #createClient(
        id,
        { scopes = ['products:write', 'imports'], method = 'client_secret_basic', key, more = [] } = {},
    ) {
        const words = ['clients', 'create', '--name', id, '--id', id, '--auth-method', method, ...more];
        if (key) {
            const file = join(this.folder, `${id}.json`);
            await writeFile(file, JSON.stringify({ keys: [key.jwk] }));
            words.push('--jwks', file);
        }
        const { client_secret: secret } = await this.command(
            ...words,
            ...scopes.flatMap((scope) => ['--scope', scope]),
        );
        return { id, secret, method, scopes, key };
    }

    async #makeClients() {
        this.other = 'https://other.example/';
        const signs = async (id, alg) => {
            return this.#createClient(id, { method: 'private_key_jwt', key: await newKey(alg) });
        };
        this.clients = {
            post: await this.#createClient('post', { method: 'client_secret_post' }),
            narrow: await this.#createClient('narrow', { scopes: ['imports'] }),
            elsewhere: await this.#createClient('elsewhere', { more: ['--audience', this.other] }),
            asks: await this.#createClient('asks', { scopes: [], more: ['--no-grant', '--audience', this.url] }),
            bound: await this.#createClient('bound', { more: ['--dpop-bound'] }),
            ed: await signs('ed', 'EdDSA'),
            ec: await signs('ec', 'ES256'),
            basic: await this.#createClient('basic'),
        };
        // Known at the server a moment after the command; the last of them when all are.
        await eventually('the server knows the clients', async () => {
            const headers = { authorization: basic('basic', this.clients.basic.secret) };
            const body = new URLSearchParams({ grant_type: 'client_credentials' });
            return (await fetch(`${this.url}/oauth/token`, { method: 'POST', headers, body })).ok;
        });
    }
}

/** A key pair to sign with; `jwk` is the public part. */
export async function newKey(alg) {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
    const jwk = { ...(await exportJWK(publicKey)), alg, kid: `key-${alg}` };
    return { alg, jwk, publicKey, privateKey };
}

/** What a product is made of. */
export const product = JSON.stringify({ name: 'Written by a client', price: { amount: 100, currency: 'INR' } });
