// oauth4webapi takes nothing that the RFCs do not allow: what Haat answers has to be right to the letter.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import * as oauth from 'oauth4webapi';

import { Haat, product } from './haat.js';

// Haat itself speaks http; TLS is the business of what stands in front of it, and here nothing does. The client refuses
// http unless it is told so.
const http = { [oauth.allowInsecureRequests]: true };

let haat, server;
before(async () => {
    haat = await Haat.start();
    const issuer = new URL(haat.url);
    const answer = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...http });
    server = await oauth.processDiscoveryResponse(issuer, answer);
});
after(() => haat?.stop());

function client(name) {
    return { client_id: haat.clients[name].id };
}

function proof(name) {
    const { method, secret, key } = haat.clients[name];
    if (method === 'client_secret_basic') return oauth.ClientSecretBasic(secret);
    if (method === 'client_secret_post') return oauth.ClientSecretPost(secret);
    return oauth.PrivateKeyJwt({ key: key.privateKey, kid: key.jwk.kid });
}

async function token(name, parameters = {}, options = {}) {
    const answer = await oauth.clientCredentialsGrantRequest(server, client(name), proof(name), parameters, {
        ...http,
        ...options,
    });
    return oauth.processClientCredentialsResponse(server, client(name), answer);
}

async function introspect(name, accessToken) {
    const answer = await oauth.introspectionRequest(server, client(name), proof(name), accessToken, http);
    return oauth.processIntrospectionResponse(server, client(name), answer);
}

async function write(accessToken, sku, options = {}) {
    const headers = new Headers({ 'content-type': 'application/json' });
    const url = new URL(`/v1/products/${sku}`, haat.url);
    return oauth.protectedResourceRequest(accessToken, 'PUT', url, headers, product, { ...http, ...options });
}

/** What a server of resources does that verifies tokens itself, by RFC 9068. */
async function verify(accessToken, scheme = 'Bearer', headers = {}) {
    const request = new Request(`${haat.url}/v1/products/A`, {
        method: 'PUT',
        headers: { authorization: `${scheme} ${accessToken}`, ...headers },
    });
    return oauth.validateJwtAccessToken(server, request, haat.url, http);
}

test('the metadata names what this client needs', () => {
    assert.equal(server.issuer, haat.url);
    assert.deepEqual(server.grant_types_supported, ['client_credentials']);
    assert.deepEqual(server.response_types_supported, []);
    for (const name of ['token_endpoint', 'introspection_endpoint', 'revocation_endpoint', 'jwks_uri']) {
        assert.ok(server[name].startsWith(`${haat.url}/oauth/`), name);
    }
});

for (const name of ['basic', 'post', 'ed', 'ec']) {
    test(`a token by ${name}: issued, verified, used, introspected`, async () => {
        const issued = await token(name, { scope: 'products:write' });
        assert.equal(issued.token_type, 'bearer');
        assert.equal(issued.refresh_token, undefined);
        assert.ok(issued.expires_in > 0);

        const claims = await verify(issued.access_token);
        assert.equal(claims.client_id, name);
        assert.equal(claims.sub, name);
        assert.equal(claims.scope, 'products:write');

        assert.equal((await write(issued.access_token, `W-${name}`)).status, 201);

        const seen = await introspect(name, issued.access_token);
        assert.equal(seen.active, true);
        assert.equal(seen.client_id, name);
        assert.equal(seen.jti, claims.jti);
    });
}

test('a resource asks about tokens that are for it', async () => {
    const { access_token: accessToken } = await token('basic');
    assert.equal((await introspect('asks', accessToken)).active, true);
    assert.deepEqual(await introspect('asks', 'no token'), { active: false });
    assert.deepEqual(await introspect('narrow', accessToken), { active: false }, "not another client's business");
});

test('a resource indicator ends up in the token', async () => {
    const { access_token: accessToken } = await token('elsewhere', { resource: haat.other });
    const request = new Request(haat.other, { headers: { authorization: `Bearer ${accessToken}` } });
    assert.equal((await oauth.validateJwtAccessToken(server, request, haat.other, http)).aud, haat.other);
    await assert.rejects(write(accessToken, 'ELSEWHERE'), oauth.WWWAuthenticateChallengeError);
});

test('a revoked token is good no longer', async () => {
    const { access_token: accessToken } = await token('basic');
    assert.equal((await write(accessToken, 'R-1')).status, 201);
    const answer = await oauth.revocationRequest(server, client('basic'), proof('basic'), accessToken, http);
    await oauth.processRevocationResponse(answer);
    assert.deepEqual(await introspect('basic', accessToken), { active: false });
    await assert.rejects(write(accessToken, 'R-2'), (error) => {
        assert.ok(error instanceof oauth.WWWAuthenticateChallengeError);
        assert.equal(error.status, 401);
        assert.equal(error.cause[0].scheme, 'bearer');
        assert.equal(error.cause[0].parameters.error, 'invalid_token');
        return true;
    });
});

test('a token without the scope is told which one it lacks', async () => {
    const { access_token: accessToken } = await token('narrow');
    await assert.rejects(write(accessToken, 'N-1'), (error) => {
        assert.equal(error.status, 403);
        assert.equal(error.cause[0].parameters.error, 'insufficient_scope');
        assert.equal(error.cause[0].parameters.scope, 'products:write');
        return true;
    });
});

for (const alg of ['ES256', 'Ed25519']) {
    test(`DPoP with ${alg}: the token is bound to the key and of no use without it`, async () => {
        const keys = await oauth.generateKeyPair(alg);
        const DPoP = oauth.DPoP(client('bound'), keys);
        const issued = await token('bound', {}, { DPoP });
        assert.equal(issued.token_type, 'dpop');
        const thumbprint = await DPoP.calculateThumbprint();
        const seen = await introspect('bound', issued.access_token);
        assert.equal(seen.token_type.toLowerCase(), 'dpop');
        assert.equal(seen.cnf.jkt, thumbprint);

        assert.equal((await write(issued.access_token, `D-${alg}`, { DPoP })).status, 201);
        await assert.rejects(write(issued.access_token, 'D-none'), oauth.WWWAuthenticateChallengeError);
        const stranger = oauth.DPoP(client('bound'), await oauth.generateKeyPair(alg));
        await assert.rejects(
            write(issued.access_token, 'D-other', { DPoP: stranger }),
            oauth.WWWAuthenticateChallengeError,
        );
    });
}

test('a client that must bind its tokens gets none without a key', async () => {
    await assert.rejects(token('bound'), (error) => {
        assert.ok(error instanceof oauth.ResponseBodyError);
        assert.equal(error.error, 'invalid_dpop_proof');
        return true;
    });
});

test('a refusal is an OAuth error with a challenge', async () => {
    const wrong = oauth.ClientSecretBasic('wrong');
    const answer = await oauth.clientCredentialsGrantRequest(server, client('basic'), wrong, {}, http);
    // Strict about the challenge too: it must be one that can be read.
    await assert.rejects(oauth.processClientCredentialsResponse(server, client('basic'), answer), (error) => {
        assert.ok(error instanceof oauth.WWWAuthenticateChallengeError || error instanceof oauth.ResponseBodyError);
        assert.equal(error.status, 401);
        return true;
    });
});

test('Ed25519 by its older name, EdDSA', async () => {
    const older = {
        [oauth.modifyAssertion]: (header) => (header.alg = header.alg === 'Ed25519' ? 'EdDSA' : header.alg),
    };
    const { key } = haat.clients.ed;
    const itself = oauth.PrivateKeyJwt({ key: key.privateKey, kid: key.jwk.kid }, older);
    const answer = await oauth.clientCredentialsGrantRequest(server, client('ed'), itself, {}, http);
    await oauth.processClientCredentialsResponse(server, client('ed'), answer);
    await token('bound', {}, { DPoP: oauth.DPoP(client('bound'), await oauth.generateKeyPair('Ed25519'), older) });
});
