// A started `haat serve` with clients of every kind, for the tests beside this file.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { exportJWK, generateKeyPair } from 'jose';

import { eventually, Server } from '../server.js';

export { basic, eventually, freePort } from '../server.js';

// All requests come from one address, and most of them are meant to fail.
const UNLIMITED = {
    HAAT_AUTH__TOKEN_REQUESTS: '0',
    HAAT_AUTH__FAILURES_PER_CLIENT: '100000',
    HAAT_AUTH__FAILURES_PER_ADDRESS: '100000',
};

export class Haat extends Server {
    static start(settings = {}) {
        return super.start({ ...UNLIMITED, ...settings });
    }

    async #createClient(
        id,
        { scopes = ['products:write', 'imports'], method = 'client_secret_basic', key, more = [] } = {},
    ) {
        const words = [...more];
        if (key) {
            const file = join(this.folder, `${id}.json`);
            await writeFile(file, JSON.stringify({ keys: [key.jwk] }));
            words.push('--jwks', file);
        }
        const secret = await this.createClient(id, scopes, words, method);
        return { id, secret, method, scopes, key };
    }

    async prepare() {
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
        await eventually('the server knows the clients', () => this.token('basic', this.clients.basic.secret));
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
