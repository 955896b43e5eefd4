import { useEffect, useId, useRef, useState } from 'preact/hooks';
import type { CredentialKind, Credentials } from './session.ts';

const words = {
  key: { name: 'Key', hint: 'The key of callers, PROVISIONER_API_KEY. It is kept in this tab alone.' },
  token: {
    name: 'Token',
    hint: "A token of the settings' issuer, as in Authorization: Bearer. It is kept in this tab alone.",
  },
};

type Props = { asked: CredentialKind; wasRefused: boolean; onEnter(credentials: Credentials): void };

/** Asks for the key or the token. */
export function SignIn({ asked, wasRefused, onEnter }: Props) {
  const [secret, setSecret] = useState('');
  const input = useRef<HTMLInputElement>(null);
  const id = useId();
  const { name, hint } = words[asked];
  useEffect(() => input.current?.focus(), []);
  return (
    <main class="sign-in">
      <h1>Sandboxes</h1>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (secret.trim() !== '') onEnter({ kind: asked, secret: secret.trim() });
        }}
      >
        {wasRefused && (
          <p class="failure" role="alert">
            The {name.toLowerCase()} was not accepted.
          </p>
        )}
        <label for={id}>{name}</label>
        <input
          ref={input}
          id={id}
          type="password"
          autocomplete="off"
          spellcheck={false}
          required
          aria-describedby={`${id}-hint`}
          value={secret}
          onInput={(event) => setSecret(event.currentTarget.value)}
        />
        <p id={`${id}-hint`} class="muted">
          {hint}
        </p>
        <button type="submit" class="main">
          Show the sandboxes
        </button>
      </form>
    </main>
  );
}
