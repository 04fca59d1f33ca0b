// The mock behind the proxy, and where it is not what commercetools documents: what is done about that here is done for the
// sake of the real API, and checked against nothing of Haat's.

import qs from 'node:querystring';

const EXPANSION = 'categories[*].ancestors[*]';

function refusal(statusCode, code, message) {
    return { status: statusCode, text: JSON.stringify({ statusCode, message, errors: [{ code, message }] }) };
}

/** A project of the mock, as the API would answer for it. */
export class Api {
    constructor(mock, project) {
        Object.assign(this, { mock, project });
    }

    /** Asks the mock itself, as the tests do; fails if it does not like that. */
    async ask(method, path, payload) {
        const answer = await this.mock.app.inject({ method, url: `/${this.project}/${path}`, payload });
        if (answer.statusCode >= 300)
            throw new Error(`the mock answers ${answer.statusCode} to ${path}: ${answer.body}`);
        return JSON.parse(answer.body);
    }

    /** All of a kind of resource. */
    async all(kind, query = {}) {
        return (await this.ask('GET', `${kind}?${qs.stringify({ limit: 1_000_000, ...query })}`)).results;
    }

    /** Remembers what projections lack; again whenever stock or categories have changed. */
    async remember() {
        this.categories = new Map((await this.all('categories', { expand: 'ancestors[*]' })).map((c) => [c.id, c]));
        this.stock = Map.groupBy(await this.all('inventory'), ({ sku }) => sku);
    }

    /** The answer to a request that came through the proxy. */
    async answer(method, url) {
        const [, project, kind, id, more] = url.pathname.split('/');
        const query = new URLSearchParams(url.searchParams);
        if (project !== this.project || kind !== 'product-projections' || more) {
            return this.#inject(method, `${url.pathname}${url.search}`);
        }
        // It gives more than the API would (https://docs.commercetools.com/api/general-concepts#limit).
        if (Number(query.get('limit') ?? 20) > 500 || Number(query.get('offset') ?? 0) > 10_000) {
            return refusal(400, 'InvalidInput', 'Malformed parameter: limit or offset');
        }
        if (!id) return this.#page(method, query);
        // By id it neither selects prices nor expands, and gives what is not published; in a list it does right.
        query.set('where', `id = "${id}"`);
        const { results = [] } = JSON.parse((await this.#page(method, query)).text);
        if (results.length === 0)
            return refusal(404, 'ResourceNotFound', `The Resource with ID '${id}' was not found.`);
        return { status: 200, text: JSON.stringify(results[0]) };
    }

    async #page(method, query) {
        const { status, text } = await this.#inject(method, `/${this.project}/product-projections?${query}`);
        if (status !== 200) return { status, text };
        const page = JSON.parse(text);
        // It counts although it is asked not to.
        if (query.get('withTotal') === 'false') delete page.total;
        for (const product of page.results) {
            if (query.getAll('expand').includes(EXPANSION)) this.#addAncestors(product);
            for (const variant of [product.masterVariant, ...product.variants]) this.#addStock(variant);
        }
        return { status, text: JSON.stringify(page) };
    }

    /** It works the ancestors of a category out for those who ask for categories, not for those who expand references to one. */
    #addAncestors({ categories }) {
        for (const reference of categories) {
            if (reference.obj) reference.obj = this.categories.get(reference.id);
        }
    }

    /** It knows of inventory entries and of variants, and nothing of one for the other. */
    #addStock(variant) {
        const entries = this.stock.get(variant.sku) ?? [];
        if (entries.length === 0) return;
        const said = ({ id, version, availableQuantity }) => {
            return { id, version, availableQuantity, isOnStock: availableQuantity > 0 };
        };
        const own = entries.find(({ supplyChannel }) => !supplyChannel);
        const others = entries.filter(({ supplyChannel }) => supplyChannel);
        variant.availability = {
            ...(own && said(own)),
            ...(others.length && { channels: Object.fromEntries(others.map((e) => [e.supplyChannel.id, said(e)])) }),
        };
    }

    async #inject(method, url) {
        const answer = await this.mock.app.inject({ method, url });
        return { status: answer.statusCode, text: answer.body };
    }
}
