/** Streams of the web out of generators. */

/** Values as they are asked for; cancelling aborts what they come from. */
export function readableOf<T>(
  values: AsyncGenerator<T, void>,
  controller: AbortController,
): ReadableStream<T> {
  return new ReadableStream<T>({
    async pull(stream) {
      const { done, value } = await values.next();
      if (done) stream.close();
      else stream.enqueue(value);
    },
    cancel() {
      controller.abort();
    },
  });
}
