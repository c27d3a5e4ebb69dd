/** Style sheets become a file beside the bundle, and nothing in it. */
declare module "*.css";
