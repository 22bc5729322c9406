// A manifest as an object: the values come from the environment.
export const manifest = {
  apiVersion: "v1", kind: "Secret",
  stringData: { password: process.env.PASSWORD },
};
