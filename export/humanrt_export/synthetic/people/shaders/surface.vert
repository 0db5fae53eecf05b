#version 330
// Everything that is drawn: people and things, in camera space (x right, y down, z forward).
uniform mat4 camera;
uniform mat4 shadow_camera;
in vec3 position;
in vec3 normal;
in vec3 rest;     // place on the person at rest, m; of things: u, v, 0
in vec3 albedo;
in vec2 cloth;    // how much of shirt and of trousers
out vec3 at;
out vec3 across;
out vec3 place;
out vec3 colour;
out vec2 worn;
out vec3 shaded;
void main() {
    at = position;
    across = normal;
    place = rest;
    colour = albedo;
    worn = cloth;
    gl_Position = camera * vec4(position, 1.0);
    shaded = 0.5 + 0.5 * (shadow_camera * vec4(position, 1.0)).xyz;
}
