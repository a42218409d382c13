import { Loader, type LoaderProps } from "@mantine/core";

/** What is on its way, said to those who do not see the dots, too. */
export function Loading({ what, ...rest }: Omit<LoaderProps, "type" | "role" | "aria-label"> & { what: string }) {
  return <Loader type="dots" role="status" aria-label={what} {...rest} />;
}
