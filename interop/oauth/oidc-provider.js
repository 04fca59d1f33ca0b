// oidc-provider with clients such as Haat has, and what of its behaviour can be set set as Haat's.

import { once } from 'node:events';

import { exportJWK } from 'jose';
import { errors, Provider } from 'oidc-provider';

import { freePort, newKey } from './haat.js';

const SCOPES = [
    'products:read',
    'products:write',
    'imports',
    'changes:read',
    'sources:manage',
    'webhooks:manage',
    'clients:manage',
    'operate',
];

/**
 * Starts one. A started Haat is what it takes, or clients and scopes of others; `lifetime` is that of tokens, in seconds.
 */
export async function startProvider({ clients: known, other, scopes = SCOPES, lifetime = 600 }) {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const signing = await newKey('EdDSA');
    const clients = Object.values(known).map(({ id, secret, method, scopes, key }) => ({
        client_id: id,
        ...(secret && { client_secret: secret }),
        token_endpoint_auth_method: method,
        grant_types: id === 'asks' ? [] : ['client_credentials'],
        redirect_uris: [],
        response_types: [],
        ...(scopes.length && { scope: scopes.join(' ') }),
        id_token_signed_response_alg: 'EdDSA',
        dpop_bound_access_tokens: id === 'bound',
        ...(key && { jwks: { keys: [key.jwk] } }),
    }));
    const provider = new Provider(url, {
        clients,
        scopes,
        ttl: { ClientCredentials: lifetime },
        jwks: { keys: [{ ...(await exportJWK(signing.privateKey)), alg: 'EdDSA', use: 'sig' }] },
        clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
        enabledJWA: {
            clientAuthSigningAlgValues: ['EdDSA', 'ES256', 'RS256'],
            dPoPSigningAlgValues: ['EdDSA', 'ES256', 'RS256'],
        },
        routes: {
            token: '/oauth/token',
            introspection: '/oauth/introspect',
            revocation: '/oauth/revoke',
            jwks: '/oauth/jwks',
        },
        features: {
            devInteractions: { enabled: false },
            clientCredentials: { enabled: true },
            introspection: { enabled: true },
            revocation: { enabled: true },
            dPoP: { enabled: true },
            resourceIndicators: {
                enabled: true,
                defaultResource: () => url,
                getResourceServerInfo: (_, resource, client) => {
                    const allowed = resource === url || (resource === other && client.clientId === 'elsewhere');
                    if (!allowed) throw new errors.InvalidTarget();
                    // Not JWTs: it refuses to introspect and revoke those.
                    return { scope: scopes.join(' '), audience: resource, accessTokenFormat: 'opaque' };
                },
            },
        },
    });
    const server = provider.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return { url, other, clients: known, stop: () => server.close() };
}
