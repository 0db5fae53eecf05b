#version 330
// Where things are, for shadows, masks and depth.
uniform mat4 camera;
in vec3 position;
out float depth;
out vec4 clip;
void main() {
    depth = position.z;
    gl_Position = camera * vec4(position, 1.0);
    clip = gl_Position; // what transform feedback reads in the check of labels
}
