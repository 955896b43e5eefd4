import { oneOf } from './rules.ts';
import type { Settings } from './setting.ts';

/** Who may read the description of the API. */
export const descriptionSettings = {
  API_DOCS: {
    rule: () => oneOf('open', 'callers'),
    default: 'open',
    neededBy: 'description',
    doc: '`open` or `callers`: who may read [the description of the API](api.md#the-description), `/docs` and `/openapi.json`. With `callers`, both ask for the key or the token',
  },
} as const satisfies Settings;
