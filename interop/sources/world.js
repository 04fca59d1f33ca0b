// All of it, started: the mock with its products, oidc-provider, the proxy before both, and a Haat whose sources they are.

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { CommercetoolsMock } from '@labdigital/commercetools-mock';

import { startProvider } from '../oauth/oidc-provider.js';
import { eventually, Server } from '../server.js';
import { Api } from './upstream/api.js';
import { fill } from './upstream/catalogue.js';
import { comparable } from './upstream/expected.js';
import { Proxy } from './upstream/proxy.js';
import { SEED } from './upstream/random.js';

const run = promisify(execFile);

export const PROJECT = 'market';
export const LOCALES = ['en-GB', 'en'];
export const CURRENCY = 'EUR';
const SCOPES = [`view_published_products:${PROJECT}`, `view_categories:${PROJECT}`];
/** What a client and a server may read differently is in its secret (RFC 6749 §2.3.1). */
const SECRET = 's3cret +:/?%&=~"';

class Haat extends Server {
    async prepare() {
        const scopes = ['sources:manage', 'changes:read', 'operate'];
        const secret = await this.createClient('operator', scopes);
        this.bearer = await eventually('the server knows the client', () => this.token('operator', secret));
    }

    /** Asks the server; the answer's text. */
    async ask(path, options = {}) {
        const headers = { authorization: `Bearer ${this.bearer}`, ...options.headers };
        const answer = await fetch(`${this.url}${path}`, { ...options, headers });
        const text = await answer.text();
        if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
        return text;
    }

    /** The newest place in the change log. */
    async head() {
        return JSON.parse(await this.ask('/v1/changes?after=0&limit=1')).head;
    }

    /** `haat sync`: how it ended, with its exit code. */
    async sync(...words) {
        const options = { cwd: this.folder, env: this.environment, maxBuffer: 1 << 28 };
        const ended = await run(process.env.HAAT, ['sync', ...words, '--json'], options).catch((error) => error);
        const { code = 0, stdout, stderr } = ended;
        if (!stdout?.trim()) throw new Error(`haat sync ${words.join(' ')} (${code}): ${stderr}`);
        return { code, log: stderr, ...JSON.parse(stdout) };
    }

    /** All products by sku, as `haat export` gives them. */
    async exported() {
        const file = join(this.folder, 'export.ndjson');
        await this.command('export', '--output', file);
        const lines = (await readFile(file, 'utf8')).trim().split('\n').filter(Boolean);
        return new Map(lines.map((line) => JSON.parse(line)).map((product) => [product.sku, product]));
    }
}

export class World {
    /** Starts it with so many products upstream. `source` writes the source's table in haat.toml, given this world. */
    static async start(products, source) {
        const world = new World();
        const mock = new CommercetoolsMock({ defaultProjectKey: PROJECT, strict: true, silent: true });
        world.api = new Api(mock, PROJECT);
        await fill(world.api, products, SEED);
        const client = (id, scopes) => ({ id, secret: SECRET, method: 'client_secret_basic', scopes });
        world.client = client('haat', SCOPES);
        const checks = client('gateway', []);
        world.provider = await startProvider({
            clients: { haat: world.client, gateway: checks },
            scopes: SCOPES,
            lifetime: 172_800,
        });
        try {
            world.proxy = await Proxy.start({
                api: (method, url) => world.api.answer(method, url),
                provider: world.provider,
                checks,
                scope: SCOPES[0],
            });
            world.haat = await Haat.start({}, source(world));
        } catch (error) {
            await world.stop();
            throw error;
        }
        return world;
    }

    async stop() {
        this.proxy?.stop();
        this.provider.stop();
        await this.haat?.stop();
        if (this.proxy?.mistakes.length) throw this.proxy.mistakes[0];
    }

    /** All products that Haat has, to be compared. */
    async catalogue() {
        const exported = await this.haat.exported();
        return new Map([...exported].map(([sku, product]) => [sku, comparable(product)]));
    }
}

const text = JSON.stringify;

/** What both kinds of source are told: where they may call, that nothing begins by itself, and how long a hang is borne. */
export function common(name, kind, more = {}) {
    const settings = {
        name,
        kind,
        schedule: '0s',
        full_schedule: '0s',
        allow_networks: ['127.0.0.0/8'],
        total_timeout: '20s',
        attempt_timeout: '3s',
        connect_timeout: '1s',
        ...more,
    };
    return `[[sources]]\n${Object.entries(settings)
        .map(([key, value]) => `${key} = ${text(value)}\n`)
        .join('')}`;
}

/** A source of the kind `commercetools`. */
export function commercetools(world, more = {}) {
    return common('shop', 'commercetools', {
        api_url: world.proxy.url,
        auth_url: world.proxy.url,
        project_key: PROJECT,
        client_id: world.client.id,
        client_secret: world.client.secret,
        scopes: SCOPES,
        locales: LOCALES,
        currency: CURRENCY,
        brand_attribute: 'brand',
        overlap: '1s',
        ...more,
    });
}

export { SCOPES };
