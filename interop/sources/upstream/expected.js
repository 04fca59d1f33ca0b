// What a product of commercetools is in Haat, worked out once more: from what the mock itself answers and from the table in
// docs/sources.md, with the types of attributes as the product type declares them.

/** What the mock says of a project: everything that a product is made of. */
export async function read(api) {
    const [products, types, categories, inventory] = await Promise.all([
        api.all('product-projections'),
        api.all('product-types'),
        api.all('categories'),
        api.all('inventory'),
    ]);
    const declared = types.flatMap(({ attributes }) => attributes).map(({ name, type }) => [name, type]);
    return {
        products,
        types: new Map(declared),
        categories: new Map(categories.map((category) => [category.id, category])),
        stock: new Map(inventory.filter((entry) => !entry.supplyChannel).map((e) => [e.sku, e.quantityOnStock])),
    };
}

const money = ({ centAmount, currencyCode }) => ({ amount: centAmount, currency: currencyCode });
const first = (texts, locales) => locales.map((locale) => texts?.[locale]).find((text) => text !== undefined);

/** The value of an attribute of that type; `undefined` for what is left out. */
function attribute(type, value, locales) {
    switch (type.name) {
        case 'set': {
            const kept = value
                .map((each) => attribute(type.elementType, each, locales))
                .filter((each) => each !== undefined);
            return kept.length > 0 || value.length === 0 ? kept : undefined;
        }
        case 'enum':
            return value.label;
        case 'lenum':
            return first(value.label, locales) ?? value.key;
        case 'ltext':
            return first(value, locales);
        case 'money':
            return value.centAmount;
        case 'reference':
            return value.id;
        case 'nested':
            return undefined;
        default:
            return value;
    }
}

export class Expectation {
    constructor(upstream, { locales, currency }) {
        Object.assign(this, { upstream, locales, currency });
    }

    /** All products by sku, as an export has them but for what is Haat's own: id, version, updated_at. */
    products() {
        const made = this.upstream.products.map((projection) => this.product(projection));
        return new Map(made.map((product) => [product.sku, product]));
    }

    product(projection) {
        const { masterVariant: master } = projection;
        const { price, list_price } = this.prices(master);
        const attributes = { ...this.attributes(projection), ...this.attributes(master) };
        return {
            sku: master.sku,
            name: first(projection.name, this.locales),
            description: first(projection.description, this.locales) ?? null,
            brand: attributes.brand ?? null,
            category: this.category(projection.categories),
            tags: [],
            price,
            list_price,
            stock: this.stock(master.sku),
            unit: null,
            rating: null,
            seller: null,
            location: null,
            attributes,
            images: master.images.map(({ url }) => url),
            variants: projection.variants.map((variant) => ({
                sku: variant.sku,
                name: null,
                price: this.prices(variant).price,
                stock: this.stock(variant.sku),
                attributes: this.attributes(variant),
            })),
            status: 'active',
            created_at: new Date(projection.createdAt).toISOString(),
        };
    }

    /** The price in the currency that is for everybody; what it was before a discount. */
    prices({ prices = [] }) {
        const fits = ({ value, country, channel }) => value.currencyCode === this.currency && !country && !channel;
        const found = prices.find(fits);
        if (!found) return { price: null, list_price: null };
        if (!found.discounted) return { price: money(found.value), list_price: null };
        return { price: money(found.discounted.value), list_price: money(found.value) };
    }

    stock(sku) {
        const quantity = this.upstream.stock.get(sku);
        return quantity === undefined ? null : Math.max(0, quantity);
    }

    attributes({ attributes = [] }) {
        const values = attributes.map(({ name, value }) => {
            return [name, attribute(this.upstream.types.get(name), value, this.locales)];
        });
        return Object.fromEntries(values.filter(([, value]) => value !== undefined));
    }

    /** The path of the deepest category; of several, of that with the smallest id. */
    category(references) {
        const paths = references.map(({ id }) => ({ id, path: this.path(id) }));
        paths.sort((a, b) => b.path.length - a.path.length || (a.id < b.id ? -1 : 1));
        return paths[0]?.path ?? [];
    }

    path(id) {
        const { name, parent } = this.upstream.categories.get(id);
        return [...(parent ? this.path(parent.id) : []), first(name, this.locales)];
    }
}

/** A product as it was exported, without what is Haat's own. */
export function comparable({ id, version, updated_at, ...product }) {
    return { ...product, created_at: new Date(product.created_at).toISOString() };
}
