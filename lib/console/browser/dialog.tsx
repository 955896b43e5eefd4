import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { describeError } from './failures.ts';

type Props = {
  title: string;
  /** What the button says that does it, and while it does. */
  action: string;
  busy: string;
  isDangerous?: boolean;
  /** Does it. Where that fails, the dialog says why and stays. */
  onConfirm(): Promise<void>;
  onClose(): void;
  children: ComponentChildren;
};

/** A question before something is done. Escape says no. */
export function Dialog({ title, action, busy, isDangerous = false, onConfirm, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [isBusy, setIsBusy] = useState(false);
  const [error, setError] = useState<Error>();
  const id = useId();
  useEffect(() => dialog.current?.showModal(), []);
  const close = () => dialog.current?.close();
  const confirm = async () => {
    setIsBusy(true);
    setError(undefined);
    try {
      await onConfirm();
      close();
    } catch (failure) {
      setError(failure as Error);
      setIsBusy(false);
    }
  };
  return (
    <dialog ref={dialog} aria-labelledby={id} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          confirm();
        }}
      >
        <h2 id={id}>{title}</h2>
        {children}
        {error && (
          <p class="failure" role="alert">
            {describeError(error)}
          </p>
        )}
        <div class="actions">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class={isDangerous ? 'danger' : 'main'} disabled={isBusy}>
            {isBusy ? busy : action}
          </button>
        </div>
      </form>
    </dialog>
  );
}
