#version 330
in vec3 position; in vec3 normal; in vec3 rest; in vec4 finger; in float palm;
uniform mat4 camera; uniform mat4 shadow_camera;
out vec3 at; out vec3 facing; out vec3 rest_at; out vec4 on_finger; out float palmar; out vec4 in_shadow;
void main() {
    at = position; facing = normal; rest_at = rest; on_finger = finger; palmar = palm;
    in_shadow = shadow_camera * vec4(position, 1.0);
    gl_Position = camera * vec4(position, 1.0);
}
