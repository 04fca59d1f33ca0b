// The same requests to Haat and to oidc-provider, an authorization server that many use: status and error code have to be
// the same, but for what stands in DIFFERENCES with its reason.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { SignJWT } from 'jose';

import { basic, Haat, newKey } from './haat.js';
import { startProvider } from './oidc-provider.js';

const FORM = 'application/x-www-form-urlencoded';
const BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const GRANT = { grant_type: 'client_credentials' };

let haat, provider, strangersKey;
before(async () => {
    haat = await Haat.start();
    provider = await startProvider(haat);
    strangersKey = await newKey('EdDSA');
});
after(async () => {
    provider?.stop();
    await haat?.stop();
});

// --- requests -------------------------------------------------------------------------------------------------------
// A case makes a request for a server: `path`, `form` (an object, a list of pairs or the text itself), `headers`.

const as = (server, name) => ({ authorization: basic(name, server.clients[name].secret) });
const raw = (text) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` });

/** The client `basic` asks for a token, with this form beside the grant type. */
const asks =
    (more, name = 'basic') =>
    (server) => ({ headers: as(server, name), form: [...Object.entries(GRANT), ...pairs(more)] });

/** Somebody asks for a token with these headers and this form beside the grant type. */
const with_ = (make) => (server) => {
    const { headers, form = {} } = make(server);
    return { headers, form: [...Object.entries(GRANT), ...pairs(form)] };
};

const at = (path, make) => async (server) => ({ path, ...(await make(server)) });

/** A token of the client `basic`. */
async function token(server) {
    const headers = as(server, 'basic');
    const answer = await fetch(`${server.url}/oauth/token`, {
        method: 'POST',
        headers,
        body: new URLSearchParams(GRANT),
    });
    assert.equal(answer.status, 200);
    return (await answer.json()).access_token;
}

function pairs(form) {
    return Array.isArray(form) ? form : Object.entries(form);
}

const now = () => Math.floor(Date.now() / 1000);

/** A statement of the client `ed`, good but for what is said otherwise. */
async function assertion(server, { claims = {}, header = {}, key = server.clients.ed.key, name = 'ed' } = {}) {
    const good = { iss: name, sub: name, aud: server.url, exp: now() + 60, iat: now(), jti: randomUUID(), ...claims };
    const present = Object.fromEntries(Object.entries(good).filter(([, value]) => value !== undefined));
    return new SignJWT(present).setProtectedHeader({ alg: key.alg, kid: key.jwk.kid, ...header }).sign(key.privateKey);
}

const stated =
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
const unsigned = (server) => {
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

const proved = (options) => async (server) => ({
    headers: { ...as(server, 'bound'), dpop: await proof(server, options?.(server) ?? {}) },
    form: GRANT,
});

async function send(server, make) {
    const { path = 'token', method = 'POST', headers = {}, form = {}, type = FORM } = await make(server);
    const body = typeof form === 'string' ? form : new URLSearchParams(pairs(form)).toString();
    const answer = await fetch(`${server.url}/oauth/${path}`, {
        method,
        headers: { ...(type && method === 'POST' && { 'content-type': type }), ...headers },
        // As bytes: fetch adds a content type to a text.
        ...(method === 'POST' && { body: Buffer.from(body) }),
    });
    if (server === haat && answer.status === 401) assert.match(answer.headers.get('www-authenticate'), /^Basic /);
    if (server === haat) assert.match(answer.headers.get('cache-control'), /no-store/);
    const text = await answer.text();
    let error;
    try {
        error = JSON.parse(text).error;
    } catch {
        // Not an OAuth error: the status alone is compared.
    }
    return `${answer.status} ${error ?? '-'}`;
}

/** Sends a request twice; the second answer counts. */
const again = (make) => ({ twice: make });

// --- cases ----------------------------------------------------------------------------------------------------------
const wrong = 'wrong-secret-wrong-secret-wrong-secret';

const CASES = {
    // What both grant, so that the refusals below are not those of a server that refuses everything.
    'good: basic': asks({}),
    'good: post': (s) => ({ form: { ...GRANT, client_id: 'post', client_secret: s.clients.post.secret } }),
    'good: EdDSA assertion': stated(),
    'good: ES256 assertion': stated((s) => ({ name: 'ec', key: s.clients.ec.key })),
    'good: scope': asks({ scope: 'products:write' }),
    'good: two scopes': asks({ scope: 'imports products:write' }),
    'good: own resource': (s) => asks({ resource: s.url })(s),
    'good: allowed resource': (s) => asks({ resource: s.other }, 'elsewhere')(s),
    'good: DPoP': proved(),
    'good: client_id beside basic': asks({ client_id: 'basic' }),
    'good: unknown parameter': asks({ colour: 'green' }),
    'good: introspection of nonsense': at('introspect', (s) => ({ headers: as(s, 'basic'), form: { token: 'x' } })),
    'good: revocation of nonsense': at('revoke', (s) => ({ headers: as(s, 'basic'), form: { token: 'x' } })),
    'good: revocation with a hint': at('revoke', (s) => ({
        headers: as(s, 'basic'),
        form: { token: 'x', token_type_hint: 'access_token' },
    })),

    'good: introspection of an own token': at('introspect', async (s) => ({
        headers: as(s, 'basic'),
        form: { token: await token(s) },
    })),
    'good: revocation of an own token': at('revoke', async (s) => ({
        headers: as(s, 'basic'),
        form: { token: await token(s) },
    })),
    'good: revocation twice': again(
        at('revoke', async (s) => ({ headers: as(s, 'basic'), form: { token: await token(s) } })),
    ),
    'good: revocation with a wrong hint': at('revoke', async (s) => ({
        headers: as(s, 'basic'),
        form: { token: await token(s), token_type_hint: 'refresh_token' },
    })),

    // Grant types.
    'grant: missing': (s) => ({ headers: as(s, 'basic'), form: { scope: 'imports' } }),
    'grant: no body': (s) => ({ headers: as(s, 'basic'), form: '' }),
    'grant: empty': (s) => ({ headers: as(s, 'basic'), form: { grant_type: '' } }),
    'grant: unknown': (s) => ({ headers: as(s, 'basic'), form: { grant_type: 'wish' } }),
    'grant: password': (s) => ({
        headers: as(s, 'basic'),
        form: { grant_type: 'password', username: 'a', password: 'b' },
    }),
    'grant: implicit': (s) => ({ headers: as(s, 'basic'), form: { grant_type: 'implicit' } }),
    'grant: other case': (s) => ({ headers: as(s, 'basic'), form: { grant_type: 'Client_Credentials' } }),
    'grant: with a space': (s) => ({ headers: as(s, 'basic'), form: { grant_type: 'client_credentials ' } }),
    'grant: repeated': asks({ grant_type: 'client_credentials' }),
    'grant: repeated with another': asks({ grant_type: 'password' }),
    'grant: not for this client': asks({}, 'asks'),

    // Secrets.
    'client: none': with_(() => ({})),
    'client: id alone': with_(() => ({ form: { client_id: 'basic' } })),
    'client: unknown id alone': with_(() => ({ form: { client_id: 'nobody' } })),
    'client: secret alone': with_((s) => ({ form: { client_secret: s.clients.post.secret } })),
    'basic: wrong secret': with_(() => ({ headers: { authorization: basic('basic', wrong) } })),
    'basic: empty secret': with_(() => ({ headers: raw('basic:') })),
    'basic: unknown client': with_(() => ({ headers: { authorization: basic('nobody', wrong) } })),
    'basic: other case of the id': with_((s) => ({
        headers: { authorization: basic('Basic', s.clients.basic.secret) },
    })),
    'basic: empty id': with_(() => ({ headers: raw(`:${wrong}`) })),
    'basic: no colon': with_(() => ({ headers: raw('basic') })),
    'basic: not base64': with_(() => ({ headers: { authorization: 'Basic !!!' } })),
    'basic: nothing after the scheme': with_(() => ({ headers: { authorization: 'Basic' } })),
    'basic: broken escape': with_(() => ({ headers: raw('basic:%zz') })),
    'basic: another scheme': with_(() => ({ headers: { authorization: 'Bearer abc' } })),
    'basic: lower-case scheme, wrong secret': with_(() => ({
        headers: { authorization: basic('basic', wrong).replace('Basic', 'basic') },
    })),
    "basic: another client's secret": with_((s) => ({
        headers: { authorization: basic('basic', s.clients.narrow.secret) },
    })),
    'basic: secret with a blank after it': with_((s) => ({ headers: raw(`basic:${s.clients.basic.secret} `) })),
    'post: wrong secret': with_(() => ({ form: { client_id: 'post', client_secret: wrong } })),
    'post: unknown client': with_(() => ({ form: { client_id: 'nobody', client_secret: wrong } })),
    'post: empty secret': with_(() => ({ form: { client_id: 'post', client_secret: '' } })),
    'post: repeated secret': with_((s) => ({
        form: [
            ['client_id', 'post'],
            ['client_secret', s.clients.post.secret],
            ['client_secret', wrong],
        ],
    })),
    'post: repeated id': with_((s) => ({
        form: [
            ['client_id', 'post'],
            ['client_id', 'post'],
            ['client_secret', s.clients.post.secret],
        ],
    })),
    'mixed: basic and post': with_((s) => ({
        headers: as(s, 'basic'),
        form: { client_id: 'basic', client_secret: s.clients.basic.secret },
    })),
    'mixed: basic and the secret in the body': with_((s) => ({
        headers: as(s, 'basic'),
        form: { client_secret: s.clients.basic.secret },
    })),
    'mixed: basic and an assertion': async (s) => ({ headers: as(s, 'basic'), ...(await stated()(s)) }),
    'mixed: post and an assertion': async (s) => {
        const { form } = await stated()(s);
        return { form: { ...form, client_id: 'post', client_secret: s.clients.post.secret } };
    },
    'mixed: basic and another client_id': asks({ client_id: 'post' }),
    'method: post by a client of basic': with_((s) => ({
        form: { client_id: 'basic', client_secret: s.clients.basic.secret },
    })),
    'method: basic by a client of post': with_((s) => ({ headers: as(s, 'post') })),
    'method: basic by a client that signs': with_(() => ({ headers: { authorization: basic('ed', wrong) } })),
    'method: assertion by a client of basic': stated(() => ({ name: 'basic' })),

    // Content types.
    'type: json': (s) => ({ headers: as(s, 'basic'), type: 'application/json', form: JSON.stringify(GRANT) }),
    'type: multipart': (s) => ({ headers: as(s, 'basic'), type: 'multipart/form-data; boundary=x', form: '--x--' }),
    'type: text': (s) => ({ headers: as(s, 'basic'), type: 'text/plain', form: 'grant_type=client_credentials' }),
    'type: none': (s) => ({ headers: as(s, 'basic'), type: null, form: 'grant_type=client_credentials' }),
    'type: form with a charset, unknown grant': (s) => ({
        headers: as(s, 'basic'),
        type: `${FORM}; charset=utf-8`,
        form: 'grant_type=wish',
    }),
    'type: parameters in the address': (s) => ({
        path: 'token?grant_type=client_credentials',
        headers: as(s, 'basic'),
    }),
    'type: not UTF-8': (s) => ({ headers: as(s, 'basic'), form: 'grant_type=client_credentials&scope=%ff%fe' }),

    // Scopes and resources.
    'scope: unknown': asks({ scope: 'moon' }),
    'scope: known and unknown': asks({ scope: 'imports moon' }),
    'scope: not allowed': asks({ scope: 'products:write' }, 'narrow'),
    'scope: allowed and not allowed': asks({ scope: 'imports operate' }),
    'scope: other case': asks({ scope: 'Imports' }),
    'scope: two spaces': asks({ scope: 'imports  products:write' }),
    'scope: a space before': asks({ scope: ' imports' }),
    'scope: a comma': asks({ scope: 'imports,products:write' }),
    'scope: a quote': asks({ scope: '"imports"' }),
    'scope: not ASCII': asks({ scope: 'impörts' }),
    'scope: a line break': asks({ scope: 'imports\nproducts:write' }),
    'scope: repeated parameter': asks([
        ['scope', 'imports'],
        ['scope', 'imports'],
    ]),
    'resource: not allowed': asks({ resource: 'https://third.example/' }),
    'resource: allowed to another client': (s) => asks({ resource: s.other })(s),
    'resource: relative': asks({ resource: '/v1/products' }),
    'resource: a word': asks({ resource: 'products' }),
    'resource: with a fragment': (s) => asks({ resource: `${s.other}#a` }, 'elsewhere')(s),
    'resource: one allowed, one not': (s) =>
        asks([
            ['resource', s.url],
            ['resource', 'https://third.example/'],
        ])(s),

    // Statements of clients.
    'assertion: expired': stated(() => ({ claims: { exp: now() - 120, iat: now() - 180 } })),
    'assertion: no exp': stated(() => ({ claims: { exp: undefined } })),
    'assertion: exp is a text': stated(() => ({ claims: { exp: 'tomorrow' } })),
    'assertion: not yet good': stated(() => ({ claims: { nbf: now() + 3600 } })),
    'assertion: made in the future': stated(() => ({ claims: { iat: now() + 3600 } })),
    'assertion: no jti': stated(() => ({ claims: { jti: undefined } })),
    'assertion: no aud': stated(() => ({ claims: { aud: undefined } })),
    'assertion: for another server': stated(() => ({ claims: { aud: 'https://other.example' } })),
    'assertion: for the token endpoint': stated((s) => ({ claims: { aud: `${s.url}/oauth/token` } })),
    'assertion: for several servers': stated((s) => ({ claims: { aud: [s.url, 'https://other.example'] } })),
    'assertion: no iss': stated(() => ({ claims: { iss: undefined } })),
    'assertion: another iss': stated(() => ({ claims: { iss: 'ec' } })),
    'assertion: no sub': stated(() => ({ claims: { sub: undefined } })),
    'assertion: unknown client': stated(() => ({ name: 'nobody' })),
    "assertion: a stranger's key": stated(() => ({ key: strangersKey })),
    'assertion: unknown kid': stated(() => ({ key: strangersKey, header: { kid: 'moon' } })),
    "assertion: another client's key": stated((s) => ({ key: s.clients.ec.key })),
    'assertion: without a signature': (s) => ({
        form: { ...GRANT, client_assertion_type: BEARER, client_assertion: unsigned(s) },
    }),
    'assertion: not a JWT': () => ({ form: { ...GRANT, client_assertion_type: BEARER, client_assertion: 'abc' } }),
    'assertion: another client_id beside it': stated(undefined, { client_id: 'ec' }),
    'assertion: no type': async (s) => ({ form: { ...GRANT, client_assertion: await assertion(s) } }),
    'assertion: another type': stated(undefined, {
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer',
    }),
    'assertion: the type alone': () => ({ form: { ...GRANT, client_id: 'ed', client_assertion_type: BEARER } }),
    'assertion: repeated': async (s) => {
        const jwt = await assertion(s);
        return {
            form: [
                ...Object.entries(GRANT),
                ['client_assertion_type', BEARER],
                ['client_assertion', jwt],
                ['client_assertion', jwt],
            ],
        };
    },
    'assertion: used twice': again(stated()),
    'assertion: at-typed': stated(() => ({ header: { typ: 'at+jwt' } })),

    // Proofs of possession.
    'dpop: missing though the client must': asks({}, 'bound'),
    'dpop: not a JWT': (s) => ({ headers: { ...as(s, 'bound'), dpop: 'abc' }, form: GRANT }),
    'dpop: another method': proved(() => ({ claims: { htm: 'GET' } })),
    'dpop: another address': proved((s) => ({ claims: { htu: `${s.url}/oauth/revoke` } })),
    'dpop: too old': proved(() => ({ claims: { iat: now() - 3600 } })),
    'dpop: another typ': proved(() => ({ header: { typ: 'JWT' } })),
    'dpop: without its key': proved(() => ({ header: { jwk: undefined } })),

    // Introspection and revocation.
    ...about('introspect'),
    ...about('revoke'),

    "introspect: another client's token": at('introspect', async (s) => ({
        headers: as(s, 'narrow'),
        form: { token: await token(s) },
    })),
    "revoke: another client's token": at('revoke', async (s) => ({
        headers: as(s, 'narrow'),
        form: { token: await token(s) },
    })),

    // Methods.
    'method: GET token': () => ({ method: 'GET' }),
    'method: GET token with parameters': (s) => ({
        method: 'GET',
        path: 'token?grant_type=client_credentials',
        headers: as(s, 'basic'),
    }),
    'method: PUT token': () => ({ method: 'PUT' }),
    'method: GET introspect': () => ({ method: 'GET', path: 'introspect?token=x' }),
    'method: GET revoke': () => ({ method: 'GET', path: 'revoke?token=x' }),
};

function about(path) {
    const cases = {
        'no authentication': () => ({ form: { token: 'x' } }),
        'no token': (s) => ({ headers: as(s, 'basic'), form: {} }),
        'empty token': (s) => ({ headers: as(s, 'basic'), form: { token: '' } }),
        'repeated token': (s) => ({
            headers: as(s, 'basic'),
            form: [
                ['token', 'x'],
                ['token', 'y'],
            ],
        }),
        'wrong secret': () => ({ headers: { authorization: basic('basic', wrong) }, form: { token: 'x' } }),
        'two methods': (s) => ({
            headers: as(s, 'basic'),
            form: { token: 'x', client_id: 'basic', client_secret: wrong },
        }),
        json: (s) => ({ headers: as(s, 'basic'), type: 'application/json', form: '{"token":"x"}' }),
        'by an access token': () => ({ headers: { authorization: 'Bearer x' }, form: { token: 'x' } }),
        'strange hint': (s) => ({ headers: as(s, 'basic'), form: { token: 'x', token_type_hint: 'moon' } }),
    };
    return Object.fromEntries(Object.entries(cases).map(([name, make]) => [`${path}: ${name}`, at(path, make)]));
}

// Where the two differ: what Haat answers, what oidc-provider does, and why Haat is right or free to. A difference that is
// not here fails, and so does one that is here and gone.
const DIFFERENCES = [
    {
        haat: '401 invalid_client',
        provider: '400 invalid_request',
        rfc: 'RFC 6749 §5.2',
        why: 'no client authentication is invalid_client; so is whatever fails in the Authorization header, always with 401',
        cases: [
            'client: none',
            'basic: empty secret',
            'basic: empty id',
            'basic: no colon',
            'basic: not base64',
            'basic: nothing after the scheme',
            'basic: broken escape',
            'basic: another scheme',
        ],
    },
    {
        haat: '401 invalid_client',
        provider: '400 invalid_request',
        rfc: 'RFC 7662 §2.3',
        why: 'who asks without good credentials is answered with 401, as RFC 6749 §5.2 has it',
        cases: ['introspect: no authentication', 'introspect: by an access token'],
    },
    {
        haat: '401 invalid_client',
        provider: '400 invalid_request',
        rfc: 'RFC 7009 §2.2.1',
        why: 'errors are those of RFC 6749 §5.2: no client authentication is invalid_client',
        cases: ['revoke: no authentication', 'revoke: by an access token'],
    },
    {
        haat: '401 invalid_client',
        provider: '400 invalid_request',
        rfc: 'RFC 7523 §3.2',
        why: 'an assertion that is not good must be invalid_client; that client_id is its subject belongs to it (RFC 7521 §4.2)',
        cases: ['assertion: not a JWT', 'assertion: another client_id beside it'],
    },
    {
        haat: '400 invalid_request',
        provider: '401 invalid_client',
        rfc: 'RFC 7521 §4.2',
        why: 'client_assertion is required beside its type: a parameter is missing (RFC 6749 §5.2)',
        cases: ['assertion: the type alone'],
    },
    {
        haat: '401 invalid_client',
        provider: '200 -',
        rfc: 'draft-ietf-oauth-rfc7523bis',
        why: 'the audience is the issuer, as the only value: otherwise one server can use at another what it was sent',
        cases: ['assertion: for the token endpoint', 'assertion: for several servers'],
    },
    {
        haat: '401 invalid_client',
        provider: '200 -',
        rfc: 'RFC 8725 §3.12',
        why: 'JWTs of one kind are not to be taken for another kind: an access token is no client assertion',
        cases: ['assertion: at-typed'],
    },
    {
        haat: '401 invalid_client',
        provider: '200 -',
        rfc: 'RFC 7523 §3',
        why: 'a server may look at iat; one an hour ahead is a wrong clock, or made in advance',
        cases: ['assertion: made in the future'],
    },
    {
        haat: '401 invalid_client',
        provider: '200 -',
        rfc: 'RFC 7591 §2',
        why: 'a client has the one method that it is registered with; oidc-provider takes both secrets for one method',
        cases: ['method: post by a client of basic', 'method: basic by a client of post'],
    },
    {
        haat: '400 unauthorized_client',
        provider: '400 invalid_request',
        rfc: 'RFC 6749 §5.2',
        why: 'unauthorized_client: an authenticated client that may not use this grant',
        cases: ['grant: not for this client'],
    },
    {
        haat: '400 invalid_scope',
        provider: '200 -',
        rfc: 'RFC 6749 §5.2',
        why: 'an unknown scope is invalid_scope; leaving it out unsaid is allowed too (§3.3)',
        cases: ['scope: unknown', 'scope: known and unknown', 'scope: other case', 'scope: a comma'],
    },
    {
        haat: '400 invalid_request',
        provider: '400 invalid_scope',
        rfc: 'RFC 6749 Appendix B',
        why: 'a form is UTF-8: the request is malformed before its scope is looked at',
        cases: ['type: not UTF-8'],
    },
    {
        haat: '400 invalid_dpop_proof',
        provider: '400 invalid_grant',
        rfc: 'RFC 9449 §5.2',
        why: 'must be refused, by no code in particular; there is no grant in the request that could be invalid',
        cases: ['dpop: missing though the client must'],
    },
    {
        haat: '400 unauthorized_client',
        provider: '400 invalid_request',
        rfc: 'RFC 7009 §2.1',
        why: "another client's token: refused with an error, which one is left open; nothing is wrong with the request itself",
        cases: ["revoke: another client's token"],
    },
    {
        haat: '405 invalid_request',
        provider: '404 -',
        rfc: 'RFC 9110 §15.5.6',
        why: 'the address is there, the method is not among those that it takes (RFC 6749 §3.2: POST)',
        cases: [
            'method: GET token',
            'method: GET token with parameters',
            'method: PUT token',
            'method: GET introspect',
            'method: GET revoke',
        ],
    },
];

const KNOWN = new Map(DIFFERENCES.flatMap((difference) => difference.cases.map((name) => [name, difference])));

test('cases are many', () => assert.ok(Object.keys(CASES).length >= 40));

test('every known difference is one case, and says why', () => {
    const names = DIFFERENCES.flatMap(({ cases }) => cases);
    assert.equal(KNOWN.size, names.length, 'a case is there twice');
    assert.deepEqual(
        names.filter((name) => !(name in CASES)),
        [],
    );
    for (const { haat: ours, provider: theirs, rfc, why } of DIFFERENCES) {
        assert.notEqual(ours, theirs);
        assert.match(rfc, /^RFC \d+ (§|Appendix )|^draft-/);
        assert.ok(why);
    }
});

for (const [name, what] of Object.entries(CASES)) {
    test(name, async () => {
        const answers = {};
        for (const [who, server] of Object.entries({ haat, provider })) {
            if (what.twice) {
                const request = await what.twice(server);
                await send(server, () => request);
                answers[who] = await send(server, () => request);
            } else {
                answers[who] = await send(server, what);
            }
        }
        const known = KNOWN.get(name);
        if (known) {
            assert.deepEqual(
                answers,
                { haat: known.haat, provider: known.provider },
                'not the known difference any more',
            );
        } else {
            assert.equal(answers.haat, answers.provider, `Haat: ${answers.haat}, oidc-provider: ${answers.provider}`);
        }
        if (name.startsWith('good: ')) assert.match(answers.haat, /^200 /);
    });
}
