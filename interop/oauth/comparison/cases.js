// The requests that are compared, by name. Those called good are granted by both, so that the refusals are not those of a
// server that refuses everything.

import { basic } from '../haat.js';
import {
    again,
    as,
    asks,
    assertion,
    at,
    BEARER,
    FORM,
    GRANT,
    now,
    proved,
    raw,
    stated,
    strangersKey,
    token,
    unsigned,
    with_,
} from './requests.js';

const wrong = 'wrong-secret-wrong-secret-wrong-secret';

export const CASES = {
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

/** The cases that introspection and revocation have alike. */
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
