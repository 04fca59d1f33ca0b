// What stands before the mock as the gateway of commercetools stands before its API: it lets nobody in without a token that
// oidc-provider vouches for, counts, and lets requests fail when it is told to.

import { once } from 'node:events';
import { createServer } from 'node:http';

import { basic } from '../../server.js';
import { commit } from './faults.js';

const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' };

export class Proxy {
    /**
     * Starts one on a free port. `api` answers requests, by their method and URL; `provider` gives tokens; `checks` is the
     * client that asks it about them; `scope` is what a token must allow.
     */
    static async start({ api, provider, checks, scope }) {
        const proxy = new Proxy();
        Object.assign(proxy, { api, provider, checks, scope });
        proxy.server = createServer((request, response) => {
            proxy.#serve(request, response).catch((error) => {
                proxy.mistakes.push(error);
                response.destroy();
            });
        });
        proxy.server.listen(0, '127.0.0.1');
        await once(proxy.server, 'listening');
        proxy.url = `http://127.0.0.1:${proxy.server.address().port}`;
        /** Mistakes of these tests, not of anybody tested. */
        proxy.mistakes = [];
        /** Since it was started. */
        proxy.unauthenticated = 0;
        proxy.attend();
        return proxy;
    }

    stop() {
        this.server.close();
        this.server.closeAllConnections();
    }

    /** Forgets what was counted, and follows that schedule from here on: a fault, or none, for each request to the API. */
    attend(schedule = () => undefined) {
        this.schedule = schedule;
        /** Requests for tokens. */
        this.tokens = [];
        /** Requests to the API. */
        this.requests = [];
    }

    /** How many requests to the API ended so. */
    count(how) {
        return this.requests.filter(({ ended }) => ended === how).length;
    }

    async #serve(request, response) {
        const url = new URL(request.url, this.url);
        if (url.pathname === '/oauth/token') return this.#token(request, response);
        // What a request came to: the name of its fault, 'answered', 'refused', or 'left' when the caller went away first.
        const seen = { at: performance.now(), url, ended: 'left' };
        this.requests.push(seen);
        const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
        if (!token) {
            this.unauthenticated += 1;
            return this.#refuse(seen, response, 401, '');
        }
        const fault = this.schedule();
        if (fault === 'revoke') await this.#ask('revoke', token, Object.values(this.provider.clients).at(0));
        const { active, scope = '' } = await this.#ask('introspect', token, this.checks);
        if (!active) return this.#refuse(seen, response, 401, ' error="invalid_token"');
        if (!scope.split(' ').includes(this.scope))
            return this.#refuse(seen, response, 403, ' error="insufficient_scope"');
        const answer = () => this.api(request.method, url);
        if (fault && fault !== 'revoke') {
            seen.ended = fault;
            return commit(fault, response, answer);
        }
        const { status, text } = await answer();
        response.writeHead(status, JSON_TYPE);
        response.end(text, () => (seen.ended = 'answered'));
    }

    #refuse(seen, response, status, error) {
        seen.ended = 'refused';
        response.writeHead(status, { ...JSON_TYPE, 'www-authenticate': `Bearer${error}` });
        response.end('{}');
    }

    /** The token service of commercetools has another host than its API; here it is the same, and what is asked of it goes on. */
    async #token(request, response) {
        const body = Buffer.concat(await request.toArray());
        const { authorization = '', 'content-type': type = '' } = request.headers;
        const answer = await fetch(`${this.provider.url}/oauth/token`, {
            method: 'POST',
            headers: { authorization, 'content-type': type },
            body,
        });
        this.tokens.push({ status: answer.status });
        response.writeHead(answer.status, { ...JSON_TYPE, 'cache-control': 'no-store' });
        response.end(await answer.text());
    }

    async #ask(what, token, { id, secret }) {
        const answer = await fetch(`${this.provider.url}/oauth/${what}`, {
            method: 'POST',
            headers: { authorization: basic(id, secret) },
            body: new URLSearchParams({ token }),
        });
        if (!answer.ok) throw new Error(`oidc-provider answers ${answer.status} to ${what}`);
        return what === 'introspect' ? answer.json() : {};
    }
}
