// What the cases are made of: requests, made for the server that they are sent to. Each is a function of that server and gives
// `path` (`token` if it is not there), `method`, `headers`, `type` and `form` (an object, a list of pairs or the text itself).

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { SignJWT } from 'jose';

import { basic, newKey } from '../haat.js';

export const FORM = 'application/x-www-form-urlencoded';
export const BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
export const GRANT = { grant_type: 'client_credentials' };

/** A key that no client has. */
export const strangersKey = await newKey('EdDSA');

export const as = (server, name) => ({ authorization: basic(name, server.clients[name].secret) });
export const raw = (text) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` });

/** The client `basic` asks for a token, with this form beside the grant type. */
export const asks =
    (more, name = 'basic') =>
    (server) => ({ headers: as(server, name), form: [...Object.entries(GRANT), ...pairs(more)] });

/** Somebody asks for a token with these headers and this form beside the grant type. */
export const with_ = (make) => (server) => {
    const { headers, form = {} } = make(server);
    return { headers, form: [...Object.entries(GRANT), ...pairs(form)] };
};

export const at = (path, make) => async (server) => ({ path, ...(await make(server)) });

/** A token of the client `basic`. */
export async function token(server) {
    const headers = as(server, 'basic');
    const answer = await fetch(`${server.url}/oauth/token`, {
        method: 'POST',
        headers,
        body: new URLSearchParams(GRANT),
    });
    assert.equal(answer.status, 200);
    return (await answer.json()).access_token;
}

export function pairs(form) {
    return Array.isArray(form) ? form : Object.entries(form);
}

export const now = () => Math.floor(Date.now() / 1000);

/** A statement of the client `ed`, good but for what is said otherwise. */
export async function assertion(server, { claims = {}, header = {}, key = server.clients.ed.key, name = 'ed' } = {}) {
    const good = { iss: name, sub: name, aud: server.url, exp: now() + 60, iat: now(), jti: randomUUID(), ...claims };
    const present = Object.fromEntries(Object.entries(good).filter(([, value]) => value !== undefined));
    return new SignJWT(present).setProtectedHeader({ alg: key.alg, kid: key.jwk.kid, ...header }).sign(key.privateKey);
}

export const stated =
    (options, more = {}) =>
    async (server) => ({
        form: {
            ...GRANT,
            client_assertion_type: BEARER,
            client_assertion: await assertion(server, options?.(server) ?? {}),
            ...more,
        },
    });

/** A JWT without a signature. */
export const unsigned = (server) => {
    const part = (json) => Buffer.from(JSON.stringify(json)).toString('base64url');
    const claims = { iss: 'ed', sub: 'ed', aud: server.url, exp: now() + 60, iat: now(), jti: randomUUID() };
    return `${part({ alg: 'none' })}.${part(claims)}.`;
};

/** A proof of possession (RFC 9449), good but for what is said otherwise. */
async function proof(server, { claims = {}, header = {} } = {}) {
    const good = { jti: randomUUID(), htm: 'POST', htu: `${server.url}/oauth/token`, iat: now(), ...claims };
    const { kid, alg, ...jwk } = strangersKey.jwk;
    return new SignJWT(good).setProtectedHeader({ typ: 'dpop+jwt', alg, jwk, ...header }).sign(strangersKey.privateKey);
}

export const proved = (options) => async (server) => ({
    headers: { ...as(server, 'bound'), dpop: await proof(server, options?.(server) ?? {}) },
    form: GRANT,
});

/** Sends a request twice; the second answer counts. */
export const again = (make) => ({ twice: make });
