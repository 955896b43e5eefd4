import { allSettings, isForFunctions } from '../../lib/config/themes.ts';

/** Every setting that the functions read. */
export const settings = Object.entries(allSettings).flatMap(([name, setting]) =>
  isForFunctions(setting) ? [name] : [],
);
